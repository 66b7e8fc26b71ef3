"""Entities, values and rules; depends on no framework."""
