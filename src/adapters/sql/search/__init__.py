"""The search index in SQL."""
