"""domain/identity."""
