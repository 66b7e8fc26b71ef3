"""Schema revisions: reading, checking and upgrading them."""

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
from workbell.adapters.sql.database.statements import get_schema
from workbell.adapters.sql.schema.indexes import applies_to_dialect
from workbell.adapters.sql.schema.search import is_engine_object
from workbell.adapters.sql.schema.tables import TABLE_PREFIX
from workbell.domain.errors import Unavailable

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE = f"{TABLE_PREFIX}schema_version"
"""Alembic's version table, separate from that of an application in the same database."""
_SCRIPTS = Path(__file__).parent.parent / "migrations"
_REVISION = re.compile(r'^(revision|down_revision) = "(\w+)"$', re.MULTILINE)
_LOCK_NUMBER = 7_214_533_905
_VERSION = select(Table(VERSION_TABLE, MetaData(), Column("version_num", String(32))))


@frozen
class SchemaMigration:
    """The revisions before (None without tables) and after an upgrade."""

    from_revision: str | None
    to_revision: str


def current(connection: Connection) -> str | None:
    """Return the schema revision of the tables; None without tables."""
    if not inspect(connection).has_table(VERSION_TABLE, schema=get_schema(connection)):
        return None
    return connection.execute(_VERSION).scalar()


def newest() -> str:
    """Return the newest revision of this program."""
    return known()[-1]


def outdated() -> frozenset[str]:
    """Return the revisions that must be migrated first; "" is a database without tables."""
    return frozenset({*known()} - {newest()} | {""})


def known() -> tuple[str, ...]:
    """
    Return the revisions of this program, oldest first.

    The scripts are parsed, not imported: loading Alembic costs a process about
    10 MiB and 0.25 s.
    """
    scripts = (path.read_text(encoding="utf-8") for path in _SCRIPTS.glob("versions/*.py"))
    parsed: list[Mapping[str, str]] = [dict(_REVISION.findall(script)) for script in scripts]
    next_revision = {each.get("down_revision"): each["revision"] for each in parsed}
    revisions = [next_revision[None]]
    while revisions[-1] in next_revision:
        revisions.append(next_revision[revisions[-1]])
    return tuple(revisions)


def check(connection: Connection) -> None:
    """Raise Unavailable unless the schema has this program's newest revision."""
    revision = current(connection)
    refuse_newer(revision)
    if revision != newest():
        raise Unavailable(
            f"The database has schema {revision or 'none'} and needs {newest()}: "
            "run `workbell migrate` first."
        )


def upgrade(
    connection: Connection, backup: Callable[[Path], None], now: datetime
) -> SchemaMigration | None:
    """
    Upgrade the schema to the newest revision, in one transaction except on MySQL.

    Returns None if this call changed nothing.

    Raises:
        Unavailable: The schema is newer than this program, or the upgrade would
            leave rows without the rows they refer to.
    """
    revision = current(connection)
    refuse_newer(revision)
    if revision == newest():
        return None
    from alembic import command

    if revision is not None and connection.dialect.name == "sqlite":
        backup(_backup_path(connection, revision, now))
    with _migration_lock(connection):
        revision = current(connection)  # another process may have upgraded it
        _create_schema(connection)
        command.upgrade(_config(connection), "head")
    return None if revision == newest() else SchemaMigration(revision, newest())


def include_object(connection: Connection) -> Callable[..., bool]:
    """Return Alembic's filter: no indexes of other databases, nothing of search engines."""

    def include(item: Any, name: str | None, kind: str, *__: object) -> bool:
        if is_engine_object(name, kind):
            return False
        if kind != "index" or not isinstance(item, Index):
            return True
        return applies_to_dialect(item, connection.dialect)

    return include


def refuse_newer(revision: str | None) -> None:
    """Raise Unavailable if the schema is newer than this program."""
    if revision is not None and revision not in known():
        raise Unavailable(
            f"The database has schema {revision}, which is newer than this program: "
            f"it supports up to {newest()}. Install the newer version, or restore a backup."
        )


def _create_schema(connection: Connection) -> None:
    """Create the tables' PostgreSQL schema if needed; an existing one needs no CREATE right."""
    schema = get_schema(connection)
    if schema is not None and not inspect(connection).has_schema(schema):
        connection.execute(CreateSchema(schema))


def _config(connection: Connection | None = None) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _backup_path(connection: Connection, revision: str, now: datetime) -> Path:
    path = Path(str(connection.engine.url.database))
    return path.with_name(f"{path.name}.{revision}.{now:%Y%m%dT%H%M%SZ}.bak")


@contextmanager
def _migration_lock(connection: Connection) -> Iterator[None]:
    """Hold the migration lock, and a transaction except on MySQL."""
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
    """Commit the block's changes, or roll them back if it raises."""
    connection.exec_driver_sql(begin)
    try:
        yield
    except BaseException:
        with suppress(DBAPIError):  # already rolled back, or disconnected
            connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


def _check_references(connection: Connection) -> None:
    orphans = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    if orphans:
        raise Unavailable(f"The upgrade would leave {len(orphans)} rows without their parent row.")
