"""adapters/http/health."""
