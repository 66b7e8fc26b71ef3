"""adapters/memory/schedules."""
