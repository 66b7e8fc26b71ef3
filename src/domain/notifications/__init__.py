"""Email notifications."""
