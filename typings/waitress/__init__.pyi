"""Types of what the HTTP server uses of waitress 3: typeshed's stubs contradict the code."""
