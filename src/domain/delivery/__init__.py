"""Webhook delivery: accounts, destinations, events and signatures."""
