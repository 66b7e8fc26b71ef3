"""Caches: in the memory of one process, and in a shared Redis."""
