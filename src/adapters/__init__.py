"""Adapters: databases, HTTP, brokers, mail, files."""
