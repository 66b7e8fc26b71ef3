"""adapters/http/goals."""
