"""JSON and CSV serialization."""
