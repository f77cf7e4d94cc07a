"""Looking after a library: history, rollback, compaction, verification."""
