"""Fault injection: guarantees for processes that can die at any time."""
