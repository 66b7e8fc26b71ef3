"""ports/jobs."""
