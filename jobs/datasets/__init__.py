"""Datasets: labeled and captioned videos, their splits, a look at them."""
