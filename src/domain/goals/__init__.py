"""Goals, progress entries, summaries and reminders."""
