"""adapters/http/notifications."""
