"""Use cases of the search index."""
