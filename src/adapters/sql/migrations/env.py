"""Alembic environment: migrations run on the store's connection."""

from typing import Any

from alembic import context

from workbell.adapters.sql.database.column_types import JsonText, UtcDateTime
from workbell.adapters.sql.database.statements import get_schema
from workbell.adapters.sql.schema.tables import metadata
from workbell.adapters.sql.schema.upgrade import VERSION_TABLE, include_object


def render_item(kind: str, item: Any, autogen_context: Any) -> str | bool:
    """Render the column types of this package by name."""
    if kind == "type" and isinstance(item, JsonText | UtcDateTime):
        autogen_context.imports.add(
            "from workbell.adapters.sql.database.column_types import JsonText, UtcDateTime"
        )
        return f"{type(item).__name__}()"
    return False


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    version_table_schema=get_schema(connection),
    compare_type=True,
    include_object=include_object(connection),
    render_item=render_item,
    transactional_ddl=False,
)
context.run_migrations()
