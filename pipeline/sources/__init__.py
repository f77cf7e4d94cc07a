"""Where videos lie, and how they are found and told apart."""
