"""Audit log: recording, reading, sealing, verification and erasure."""
