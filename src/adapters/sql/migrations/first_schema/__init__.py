"""The first schema, one module per context."""
