"""Projects in SQL."""
