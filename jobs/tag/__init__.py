"""Tags: labels of a user's own, named in words or taught by examples."""
