"""adapters/sql/identity."""
