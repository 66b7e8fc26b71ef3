"""adapters/sql/jobs."""
