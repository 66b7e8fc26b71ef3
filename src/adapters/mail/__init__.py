"""Mail: to a folder, or to a mail server."""
