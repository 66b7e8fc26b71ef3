"""Fault tests: guarantees for processes that are killed at any moment."""
