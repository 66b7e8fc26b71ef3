"""Migrations on MySQL and MariaDB: table options, cleanup and a lock."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Select, inspect, literal_column, select, table

from workbell.domain.errors import Unavailable

LOCK_TIMEOUT_SECONDS = 600
_LOCK = "CONCAT('workbell:', SHA1(DATABASE()))"


def table_options(connection: Connection) -> dict[str, Any]:
    """
    Return the options of new tables: exact, binary text comparison.

    The usual binary collation ignores trailing spaces, so 'a' and 'a ' would be
    one key. MySQL and MariaDB have different names for the one that does not.
    """
    mariadb = getattr(connection.dialect, "is_mariadb", False)
    return {
        "mysql_charset": "utf8mb4",
        "mysql_collate": "utf8mb4_nopad_bin" if mariadb else "utf8mb4_0900_bin",
        "mysql_engine": "InnoDB",
    }


def drop_partial_tables(connection: Connection, tables: Sequence[str]) -> None:
    """
    Drop tables that an interrupted upgrade left behind, referring tables first.

    MySQL commits every schema change at once, so a killed upgrade can only be
    repeated from the beginning of its revision.

    Raises:
        Unavailable: One of the tables has rows.
    """
    if connection.dialect.name != "mysql":
        return
    existing = [name for name in tables if inspect(connection).has_table(name)]
    for name in existing:
        any_row: Select[Any] = select(literal_column("1")).select_from(table(name)).limit(1)
        if connection.execute(any_row).first() is not None:
            raise Unavailable(
                f"The table {name} has rows, but no recorded upgrade created it: "
                "restore a backup, or use an empty database."
            )
    for name in existing:
        connection.exec_driver_sql(f"DROP TABLE `{name}`")


@contextmanager
def migration_lock(connection: Connection) -> Iterator[None]:
    """Hold the migration lock; raise Unavailable after waiting ten minutes for it."""
    query = f"SELECT GET_LOCK({_LOCK}, {LOCK_TIMEOUT_SECONDS})"
    if connection.exec_driver_sql(query).scalar() != 1:
        raise Unavailable("Another process has been upgrading the database for ten minutes.")
    try:
        yield
    finally:
        connection.exec_driver_sql(f"SELECT RELEASE_LOCK({_LOCK})")
