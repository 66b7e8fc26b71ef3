"""Service levels in SQL."""
