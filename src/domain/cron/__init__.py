"""domain/cron."""
