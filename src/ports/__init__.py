"""Ports: the interfaces that adapters implement, as protocols."""
