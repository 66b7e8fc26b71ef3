"""Users, credentials, sessions and permissions."""
