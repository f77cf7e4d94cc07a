"""A video's shots: where it was cut, dissolved or faded, and what each shot shows."""
