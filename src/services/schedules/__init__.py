"""services/schedules."""
