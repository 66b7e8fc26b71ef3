"""adapters/sql/goals."""
