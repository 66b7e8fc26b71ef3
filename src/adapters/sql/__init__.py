"""The SQL stores: SQLite in full; the servers share every statement."""
