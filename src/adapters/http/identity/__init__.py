"""adapters/http/identity."""
