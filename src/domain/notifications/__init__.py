"""Notices to users: kinds, preferences, daily summaries, unsubscribing."""
