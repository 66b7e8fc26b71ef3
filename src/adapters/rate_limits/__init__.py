"""adapters/rate_limits."""
