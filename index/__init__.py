"""One library on disk: its storage, its snapshots, and reading it by search, SQL and status."""
