"""A video's container: its packets, their times, the places where decoding can start, and whether the file is whole."""
