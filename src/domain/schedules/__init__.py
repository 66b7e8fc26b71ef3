"""domain/schedules."""
