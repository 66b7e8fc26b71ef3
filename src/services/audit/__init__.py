"""Audit log: recording, reading, sealing and verification."""
