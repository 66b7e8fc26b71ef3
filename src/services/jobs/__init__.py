"""Use cases of jobs, queues and workers."""
