"""adapters/http/server."""
