"""HTTP client for destinations: public addresses, one deadline, by urllib3."""
