"""Webhook delivery: accounts, destinations, events and their deliveries."""
