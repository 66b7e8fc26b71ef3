"""ports/schedules."""
