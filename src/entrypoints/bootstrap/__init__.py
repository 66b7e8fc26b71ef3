"""entrypoints/bootstrap."""
