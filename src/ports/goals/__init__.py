"""ports/goals."""
