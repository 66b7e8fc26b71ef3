"""services/goals."""
