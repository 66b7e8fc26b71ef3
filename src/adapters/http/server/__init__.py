"""The HTTP server: waitress with a strict request parser."""
