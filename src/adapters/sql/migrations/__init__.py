"""Revisions of the SQL schema, applied by Alembic in their order."""
