"""A whole store in memory, for tests and trials."""
