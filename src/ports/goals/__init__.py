"""Ports of goals and reminders."""
