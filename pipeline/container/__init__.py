"""What is inside a video's file: its packets, their times, where it can be begun, and whether it is whole."""
