"""Child processes that run the bodies of tasks with `isolation="process"`."""
