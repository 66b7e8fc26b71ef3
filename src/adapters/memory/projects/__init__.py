"""Projects in memory."""
