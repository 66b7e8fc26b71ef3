"""entrypoints/bench."""
