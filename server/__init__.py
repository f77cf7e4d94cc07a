"""A web page over a library, and the API below it."""
