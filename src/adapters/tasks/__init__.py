"""The built-in tasks: real work, each in its own file."""
