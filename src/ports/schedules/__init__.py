"""Ports of schedules."""
