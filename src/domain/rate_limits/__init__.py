"""Rate limit policies."""
