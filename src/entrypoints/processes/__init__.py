"""entrypoints/processes."""
