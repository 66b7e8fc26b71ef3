"""domain/jobs."""
