"""Declaration of partial indexes."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Index


def partial_index(
    name: str,
    condition: ColumnElement[bool],
    *columns: ColumnElement[Any],
    plain: Sequence[ColumnElement[Any]] | None = (),
    unique: bool = False,
) -> None:
    """Declare a partial index, and the plain one that replaces it on MySQL unless None."""
    if plain is not None:
        Index(f"{name}_plain", *(plain or columns), unique=unique, info={"mysql": True})
    Index(
        name,
        *columns,
        unique=unique,
        sqlite_where=condition,
        postgresql_where=condition,
        info={"mysql": False},
    )
