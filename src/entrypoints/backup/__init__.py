"""entrypoints/backup."""
