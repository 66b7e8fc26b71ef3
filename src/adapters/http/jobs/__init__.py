"""adapters/http/jobs."""
