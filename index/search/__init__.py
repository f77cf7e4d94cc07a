"""Search: from a question to moments. `index.search.searcher` says how it goes."""
