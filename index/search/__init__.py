"""Search: from a question to moments."""
