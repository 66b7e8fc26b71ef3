"""What can be done: one class per context, one method per use case."""
