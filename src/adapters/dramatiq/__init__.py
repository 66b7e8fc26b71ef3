"""Dramatiq: the wake-ups, and the worker that they wake."""
