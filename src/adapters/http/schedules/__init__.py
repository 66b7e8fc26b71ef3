"""adapters/http/schedules."""
