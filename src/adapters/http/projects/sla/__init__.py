"""Service levels over HTTP."""
