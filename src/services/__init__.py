"""Use cases: one package per context, one method per use case."""
