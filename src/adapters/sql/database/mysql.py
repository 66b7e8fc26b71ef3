"""What migrations need on MySQL and MariaDB: exact texts, a fresh start."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Select, inspect, literal_column, select, table

from workbell.domain.errors import Unavailable

PATIENCE_SECONDS = 600
_LOCK = "CONCAT('workbell:', SHA1(DATABASE()))"


def table_options(connection: Connection) -> dict[str, Any]:
    """
    Return the options of new tables: texts are equal if every character is.

    The usual binary collation pads with spaces, so that 'a' and 'a ' would be
    one key; the two families name the one that does not pad differently.
    """
    mariadb = getattr(connection.dialect, "is_mariadb", False)
    return {
        "mysql_charset": "utf8mb4",
        "mysql_collate": "utf8mb4_nopad_bin" if mariadb else "utf8mb4_0900_bin",
        "mysql_engine": "InnoDB",
    }


def drop_partial_tables(connection: Connection, tables: Sequence[str]) -> None:
    """
    Drop what an interrupted upgrade has left of tables that are about to be made.

    MySQL keeps every change of the schema at once, so an upgrade that was
    killed can be done again only from the beginning of its revision.

    Args:
        connection: The one that migrates.
        tables: Names, those that refer to others first.

    Raises:
        Unavailable: One of them holds rows: it is none of ours to drop.
    """
    if connection.dialect.name != "mysql":
        return
    there = [name for name in tables if inspect(connection).has_table(name)]
    for name in there:
        any_row: Select[Any] = select(literal_column("1")).select_from(table(name)).limit(1)
        if connection.execute(any_row).first() is not None:
            raise Unavailable(
                f"There is a table {name} with rows that no recorded upgrade has made: "
                "restore a backup, or use an empty database."
            )
    for name in there:
        connection.exec_driver_sql(f"DROP TABLE `{name}`")


@contextmanager
def migration_lock(connection: Connection) -> Iterator[None]:
    """
    Let one process at a time change the schema of this database.

    Raises:
        Unavailable: Another one has not finished in ten minutes.
    """
    if connection.exec_driver_sql(f"SELECT GET_LOCK({_LOCK}, {PATIENCE_SECONDS})").scalar() != 1:
        raise Unavailable("Another process has been upgrading the database for ten minutes.")
    try:
        yield
    finally:
        connection.exec_driver_sql(f"SELECT RELEASE_LOCK({_LOCK})")
