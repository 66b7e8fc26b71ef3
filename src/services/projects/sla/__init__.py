"""Use cases of service levels: policies, calendars, clocks and their tick."""
