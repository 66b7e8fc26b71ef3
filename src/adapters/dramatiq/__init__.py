"""The job worker, and wake-ups over Dramatiq."""
