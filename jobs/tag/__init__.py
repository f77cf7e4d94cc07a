"""Tags: a library's own labels, by words or by examples."""
