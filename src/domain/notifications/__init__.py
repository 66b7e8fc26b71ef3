"""domain/notifications."""
