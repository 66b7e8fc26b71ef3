"""Mailers: a folder, an SMTP server, a background thread."""
