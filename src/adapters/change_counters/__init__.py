"""Change counters in memory and in Redis."""
