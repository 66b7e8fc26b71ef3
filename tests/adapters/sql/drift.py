"""Comparison of a database's tables with the metadata."""

from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData

from workbell.adapters.sql.database.statements import get_schema
from workbell.adapters.sql.schema.tables import TABLE_PREFIX, metadata
from workbell.adapters.sql.schema.upgrade import VERSION_TABLE, include_object


def schema_drift(connection: Connection) -> list[Any]:
    """Return the differences between the tables and the metadata."""
    schema = get_schema(connection)

    def is_ours(name: str | None, kind: str, _: object) -> bool:
        if kind == "schema":
            return name == schema
        return kind != "table" or str(name).startswith(TABLE_PREFIX)

    options = {
        "compare_type": True,
        "version_table": VERSION_TABLE,
        "version_table_schema": schema,
        "include_schemas": schema is not None,
        "include_name": is_ours,
        "include_object": include_object(connection),
    }
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, _metadata_in_schema(schema)))


def _metadata_in_schema(schema: str | None) -> MetaData:
    """Return the metadata with its tables in a schema, as Alembic compares them."""
    if schema is None:
        return metadata
    copied = MetaData(naming_convention=metadata.naming_convention)
    for table in metadata.sorted_tables:
        infos = {index.name: index.info for index in table.indexes}
        for index in table.to_metadata(copied, schema=schema).indexes:
            index.info.update(infos[index.name])
    return copied
