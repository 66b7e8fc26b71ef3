"""Use cases of webhook delivery."""
