"""Shows a moment of a video to people: single pictures, short animations, and pieces that browsers play."""
