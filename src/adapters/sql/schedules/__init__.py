"""adapters/sql/schedules."""
