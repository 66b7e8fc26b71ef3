"""Rate limiters in memory and in Redis."""
