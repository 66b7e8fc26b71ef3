"""domain/rate_limits."""
