"""Files of videos, and pictures and clips of their moments, as browsers play them."""
