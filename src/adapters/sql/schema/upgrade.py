"""Revisions: what schema a database has, and bringing it to the newest."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen
from sqlalchemy import Column, Connection, Index, MetaData, String, Table, inspect, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateSchema

from workbell.adapters.sql.database import mysql
from workbell.adapters.sql.database.statements import schema_of
from workbell.adapters.sql.schema.indexes import applies_to_dialect
from workbell.adapters.sql.schema.tables import TABLE_PREFIX, metadata
from workbell.domain.errors import Unavailable

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE = f"{TABLE_PREFIX}schema_version"
"""Alembic's own table; an application that shares the database has another one."""
_SCRIPTS = Path(__file__).parent.parent / "migrations"
_NAMED = re.compile(r'^(revision|down_revision) = "(\w+)"$', re.MULTILINE)
_LOCK_NUMBER = 7_214_533_905
_VERSION = select(Table(VERSION_TABLE, MetaData(), Column("version_num", String(32))))


@frozen
class SchemaMigration:
    """The revisions before and after an upgrade; None where there were no tables."""

    from_revision: str | None
    to_revision: str


def current(connection: Connection) -> str | None:
    """Return the revision that the tables have, or None where there are none."""
    if not inspect(connection).has_table(VERSION_TABLE, schema=schema_of(connection)):
        return None
    return connection.execute(_VERSION).scalar()


def newest() -> str:
    """Return the newest revision that this program knows."""
    return known()[-1]


def outdated() -> frozenset[str]:
    """Return what databases have that this program would have to migrate first."""
    return frozenset({*known()} - {newest()} | {""})


def known() -> tuple[str, ...]:
    """
    Return the revisions of this program, the oldest first.

    They are read, not run: Alembic, which costs a process some 10 MiB and a
    quarter of a second, is for those that migrate.
    """
    scripts = (path.read_text(encoding="utf-8") for path in _SCRIPTS.glob("versions/*.py"))
    named: list[Mapping[str, str]] = [dict(_NAMED.findall(script)) for script in scripts]
    after = {each.get("down_revision"): each["revision"] for each in named}
    found = [after[None]]
    while found[-1] in after:
        found.append(after[found[-1]])
    return tuple(found)


def check(connection: Connection) -> None:
    """
    Refuse a schema that is not this program's own.

    Raises:
        Unavailable: It is newer, or has yet to be migrated.
    """
    found = current(connection)
    refuse_newer(found)
    if found != newest():
        raise Unavailable(
            f"The database has schema {found or 'none'} and needs {newest()}: "
            "run `workbell migrate` first."
        )


def upgrade(
    connection: Connection, backup: Callable[[Path], None], now: datetime
) -> SchemaMigration | None:
    """
    Bring the schema to the newest revision, in one transaction where that is possible.

    Returns None if this call changed nothing.

    Raises:
        Unavailable: The schema is newer than this program knows, or rows
            would be left without what they refer to.
    """
    found = current(connection)
    refuse_newer(found)
    if found == newest():
        return None
    from alembic import command

    if found is not None and connection.dialect.name == "sqlite":
        backup(_backup_path(connection, found, now))
    with _migration_lock(connection):
        found = current(connection)  # another process may have been first
        _create_schema(connection)
        command.upgrade(_config(connection), "head")
    return None if found == newest() else SchemaMigration(found, newest())


def check_drift(connection: Connection) -> list[Any]:
    """Return how the tables differ from the metadata: for tests, always nothing."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    schema = schema_of(connection)

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
    return list(
        compare_metadata(MigrationContext.configure(connection, opts=options), _in_schema(schema))
    )


def include_object(connection: Connection) -> Callable[..., bool]:
    """Return Alembic's filter: indexes that another database has are left out."""

    def include(item: Any, _: object, kind: str, *__: object) -> bool:
        if kind != "index" or not isinstance(item, Index):
            return True
        return applies_to_dialect(item, connection.dialect)

    return include


def refuse_newer(found: str | None) -> None:
    """
    Refuse a schema that this program does not know.

    Raises:
        Unavailable: It is newer.
    """
    if found is not None and found not in known():
        raise Unavailable(
            f"The database has schema {found}, which is newer than this program: "
            f"it knows up to {newest()}. Install the newer version, or restore a backup."
        )


def _in_schema(schema: str | None) -> MetaData:
    """Return the metadata with its tables in a schema, which is how Alembic compares them."""
    if schema is None:
        return metadata
    copied = MetaData(naming_convention=metadata.naming_convention)
    for table in metadata.sorted_tables:
        infos = {index.name: index.info for index in table.indexes}
        for index in table.to_metadata(copied, schema=schema).indexes:
            index.info.update(infos[index.name])
    return copied


def _create_schema(connection: Connection) -> None:
    """Create the PostgreSQL schema of the tables; to ask first spares the right to create it."""
    schema = schema_of(connection)
    if schema is not None and not inspect(connection).has_schema(schema):
        connection.execute(CreateSchema(schema))


def _config(connection: Connection | None = None) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _backup_path(connection: Connection, found: str, now: datetime) -> Path:
    path = Path(str(connection.engine.url.database))
    return path.with_name(f"{path.name}.{found}.{now:%Y%m%dT%H%M%SZ}.bak")


@contextmanager
def _migration_lock(connection: Connection) -> Iterator[None]:
    """Let one process upgrade at a time; keep all revisions together where that is possible."""
    match connection.dialect.name:
        case "sqlite":
            with _in_one_transaction(connection, "BEGIN IMMEDIATE"):
                yield
                _check_references(connection)
        case "postgresql":
            with _in_one_transaction(connection, "BEGIN"):
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK_NUMBER})")
                yield
        case _:
            with mysql.migration_lock(connection):
                yield


@contextmanager
def _in_one_transaction(connection: Connection, begin: str) -> Iterator[None]:
    """Keep all that the block does, or nothing."""
    connection.exec_driver_sql(begin)
    try:
        yield
    except BaseException:
        with suppress(DBAPIError):  # the database may have rolled back, or be away
            connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


def _check_references(connection: Connection) -> None:
    orphans = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    if orphans:
        raise Unavailable(f"The upgrade would leave {len(orphans)} rows without their parent.")
