"""Tasks, jobs and attempts."""
