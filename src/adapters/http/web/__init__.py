"""adapters/http/web."""
