"""Webhook delivery in memory."""
