"""adapters/memory/goals."""
