"""Faults: what is promised of processes that die at any moment."""
