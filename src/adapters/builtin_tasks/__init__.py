"""adapters/builtin_tasks."""
