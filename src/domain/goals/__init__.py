"""domain/goals."""
