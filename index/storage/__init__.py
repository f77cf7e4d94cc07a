"""The library's folder: its tables, its settings, its lock."""
