"""Ports of webhook delivery."""
