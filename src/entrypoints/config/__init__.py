"""entrypoints/config."""
