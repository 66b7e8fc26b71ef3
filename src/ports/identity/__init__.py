"""ports/identity."""
