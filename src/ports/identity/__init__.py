"""Ports of users, credentials and sessions."""
