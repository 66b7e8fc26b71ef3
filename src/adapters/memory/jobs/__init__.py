"""adapters/memory/jobs."""
