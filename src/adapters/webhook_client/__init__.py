"""HTTP client of destinations, by urllib3: public addresses, one deadline."""
