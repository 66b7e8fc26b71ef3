"""adapters/change_counters."""
