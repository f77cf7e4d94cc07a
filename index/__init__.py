"""How a library is asked: vectors (FAISS), catalog (DuckDB), snapshots of both, and the library they belong to."""
