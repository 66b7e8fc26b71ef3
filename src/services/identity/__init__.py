"""Use cases of users, sessions, API keys and second factors."""
