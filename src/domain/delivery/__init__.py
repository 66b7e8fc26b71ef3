"""Webhook delivery: accounts, destinations, events, signatures and retries."""
