"""Webhook delivery in SQL."""
