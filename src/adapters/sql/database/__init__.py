"""adapters/sql/database."""
