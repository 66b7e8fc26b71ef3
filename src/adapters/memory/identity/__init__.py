"""adapters/memory/identity."""
