"""Ports of projects."""
