"""adapters/sql/schema."""
