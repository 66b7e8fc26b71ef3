"""Password hashes, signed tokens and one-time passwords."""
