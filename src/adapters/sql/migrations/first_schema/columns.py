"""Short forms of columns, tables and partial indexes."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from workbell.adapters.sql.database.column_types import (
    Id,
    JsonText,
    LongBytes,
    LongText,
    Rank,
    UtcDateTime,
)

TYPES: dict[str, Any] = {
    "id": Id,
    "int": sa.Integer(),
    "small": sa.SmallInteger(),
    "float": sa.Double(),
    "flag": sa.Boolean(),
    "rank": Rank,
    "date": sa.Date(),
    "time": UtcDateTime(),
    "text": sa.Text(),
    "long": LongText,
    "bytes": LongBytes,
    "json": JsonText(),
}
Spec = tuple[str, tuple[sa.schema.SchemaItem, ...], dict[str, Any]]


def columns(text: str) -> Iterator[sa.Column[Any]]:
    """Parse columns: "name type", with ":length" of a string, "!" a primary key, "?" nullable."""
    for column in text.split(", "):
        name, spec = column.split(" ")
        kind, _, length = spec.rstrip("!?").partition(":")
        yield sa.Column(
            name,
            sa.String(int(length)) if kind == "str" else TYPES[kind],
            primary_key=spec.endswith("!"),
            autoincrement=name == "id" and kind == "id",
            nullable=spec.endswith("?"),
        )


def cascade(name: str, target: str, *, primary_key: bool = False) -> sa.Column[Any]:
    key = sa.ForeignKey(target, ondelete="CASCADE")
    return sa.Column(name, Id, key, primary_key=primary_key, nullable=False)


def table(name: str, *items: sa.schema.SchemaItem, **options: Any) -> Spec:
    return name, items, options


def create_index(
    name: str,
    table: str,
    columns: str,
    condition: str,
    *,
    plain: str | None = "",
    unique: bool = False,
) -> None:
    """Create a partial index; on MySQL and MariaDB, which have none, a plain one if any."""
    if op.get_bind().dialect.name == "mysql":
        if plain is not None:
            op.create_index(f"{name}_plain", table, index_columns(plain or columns), unique=unique)
        return
    where = sa.text(condition)
    op.create_index(
        name,
        table,
        index_columns(columns),
        unique=unique,
        sqlite_where=where,
        postgresql_where=where,
    )


def index_columns(text: str) -> list[Any]:
    return [sa.literal_column(name) if " " in name else name for name in text.split(", ")]
