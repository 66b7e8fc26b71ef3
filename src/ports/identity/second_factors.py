"""What is kept of people's second factors."""
