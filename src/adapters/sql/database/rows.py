"""Conversion of the driver's rows to values by column name."""

from collections.abc import Sequence
from typing import Any

from attrs import frozen
from sqlalchemy import Boolean, Connection, Dialect, Table

from workbell.adapters.sql.database.column_types import (
    JsonText,
    UtcDateTime,
    instant_reader,
    json_value,
)
from workbell.adapters.sql.database.statements import column_names


@frozen
class RowReader:
    """Converts rows of all columns of a table, as a `PreparedStatement` returns them."""

    names: Sequence[str]
    _times: Sequence[str]
    _flags: Sequence[str]
    _json: Sequence[str]

    @classmethod
    def of(cls, table: Table) -> "RowReader":
        """Return the reader of a table's rows."""
        names = column_names(table)

        def of_type(kind: type[Any]) -> Sequence[str]:
            return [name for name in names if isinstance(table.c[name].type, kind)]

        return cls(names, of_type(UtcDateTime), of_type(Boolean), of_type(JsonText))

    def read(self, db: Connection, row: Sequence[Any]) -> dict[str, Any]:
        """Return a row's values by column name."""
        return self.convert(db.dialect, row)

    def convert(self, dialect: Dialect, row: Sequence[Any]) -> dict[str, Any]:
        """Return the values of a row of a dialect by column name."""
        values = dict(zip(self.names, row, strict=True))
        read_time = instant_reader(dialect)
        for name in self._times:
            values[name] = read_time(values[name])
        for name in self._flags:
            values[name] = bool(values[name])
        for name in self._json:
            values[name] = json_value(values[name])
        return values
