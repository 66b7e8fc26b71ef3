"""Ports of notifications: repositories and rendering."""
