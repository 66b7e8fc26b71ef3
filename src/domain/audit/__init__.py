"""Audit log: entries, filters and the hash chain."""
