"""Use cases of goals, progress, timers and reminders."""
