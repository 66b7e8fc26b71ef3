"""adapters/observability."""
