"""Ports of jobs, queues and workers."""
