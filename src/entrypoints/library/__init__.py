"""entrypoints/library."""
