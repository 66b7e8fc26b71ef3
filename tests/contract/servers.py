"""Databases on real servers, created for a test run."""

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from uuid import uuid4

import pytest
from attrs import define
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from tests.contract.factories import ManualClock
from workbell.adapters.sql.schema.tables import metadata
from workbell.adapters.sql.store import SqlStore, open_store

SERVERS = ("postgresql", "mariadb")
IN_A_SCHEMA = "postgresql with the schema order"
"""Tables in a schema of their own; a reserved word, so that an unquoted name fails."""
SERVER_KINDS = (*SERVERS, IN_A_SCHEMA)
_URLS = {
    "postgresql": ("WORKBELL_TEST_POSTGRES", "postgresql+psycopg://127.0.0.1:5432/postgres"),
    "mariadb": ("WORKBELL_TEST_MYSQL", "mysql+pymysql://root@127.0.0.1:3306/"),
}
_NAMES = {"postgresql": "postgres", "mariadb": "mysql"}
_NUMBERED = [
    table.name for table in metadata.sorted_tables if table.autoincrement_column is not None
]


def admin_url(kind: str) -> URL:
    """Return the address at which databases can be made."""
    variable, usual = _URLS[kind]
    return make_url(os.environ.get(variable, usual))


@contextmanager
def administration(kind: str) -> Iterator[Connection]:
    """Open a connection that may create and drop databases."""
    engine = create_engine(
        admin_url(kind),
        isolation_level="AUTOCOMMIT",
        poolclass=NullPool,
        connect_args={"connect_timeout": 3},
    )
    with engine.connect() as connection:
        yield connection


def is_there(kind: str) -> bool:
    """Whether a server answers, or is required to."""
    if _NAMES[kind] in os.environ.get("WORKBELL_TEST_REQUIRE", "").split(","):
        return True
    try:
        with administration(kind):
            return True
    except DBAPIError:
        return False


def new_database(kind: str) -> URL:
    """Make an empty database, to be dropped at exit; skip, or fail if it is required."""
    name = f"workbell_test_{uuid4().hex[:12]}"
    try:
        with administration(kind) as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
            if kind == "postgresql":  # nothing of it has to outlive a crash
                connection.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit = off")
    except DBAPIError as error:
        if _NAMES[kind] in os.environ.get("WORKBELL_TEST_REQUIRE", "").split(","):
            pytest.fail(f"{kind} is required: {error.orig}")
        pytest.skip(f"no {kind} at {admin_url(kind).host}")
    atexit.register(drop_database, kind, name)
    return admin_url(kind).set(database=name)


def drop_database(kind: str, name: str) -> None:
    """Drop a database even if clients are connected."""
    force = " WITH (FORCE)" if kind == "postgresql" else ""
    with suppress(DBAPIError), administration(kind) as connection:
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}{force}")


@define(eq=False)
class Server:
    """A migrated database of this run, emptied for every test."""

    kind: str
    url: URL
    schema: str | None
    opened: SqlStore
    engine: Engine

    def open(self, clock: ManualClock, *, pool_size: int = 16) -> SqlStore:
        """Open a store with connections of its own; the caller closes it."""
        return open_store(address(self.url), clock, pool_size=pool_size, schema=self.schema)

    def store(self, clock: ManualClock) -> SqlStore:
        """Return an empty store; its connections are reused for the next one."""
        with self.engine.connect() as connection:
            if self.schema:
                connection.exec_driver_sql(f'SET search_path TO "{self.schema}"')
            empty(connection)
        opened = self.opened
        for other in _OPENED:  # a server has not enough connections for the idle ones of two pools
            if other.kind == self.kind and other is not self:
                other.opened.close()
        return SqlStore(clock, opened._connections, opened._strategy, schema=self.schema)


_OPENED: list[Server] = []


@cache
def server(kind: str) -> Server:
    """Return the database of this run on a server of a kind."""
    product, _, schema = kind.partition(" with the schema ")
    url = new_database(product)
    store = open_store(address(url), ManualClock(), pool_size=16, schema=schema or None)
    atexit.register(store.close)
    store.migrate()
    engine = create_engine(url, isolation_level="AUTOCOMMIT", pool_pre_ping=True)
    atexit.register(engine.dispose)
    opened = Server(product, url, schema or None, store, engine)
    _OPENED.append(opened)
    return opened


def address(url: URL) -> str:
    """Return a URL as a text, password and all."""
    return url.render_as_string(hide_password=False)


def empty(connection: Connection) -> None:
    """Delete every row, and number new ones from 1 again."""
    tables = [table.name for table in reversed(metadata.sorted_tables)]
    if connection.dialect.name == "postgresql":
        deletes = "; ".join(f"DELETE FROM {name}" for name in tables)
        restarts = ", ".join(
            f"setval(pg_get_serial_sequence('{name}', 'id'), 1, false)" for name in _NUMBERED
        )
        connection.exec_driver_sql(f"BEGIN; {deletes}; SELECT {restarts}; COMMIT")
        return
    connection.exec_driver_sql("SET autocommit = 0")
    for name in tables:
        connection.exec_driver_sql(f"DELETE FROM {name}")
    connection.exec_driver_sql("COMMIT")
    connection.exec_driver_sql("SET autocommit = 1")
    used = text(
        "SELECT table_name FROM information_schema.tables "
        "WHERE table_schema = DATABASE() AND auto_increment > 1"
    )
    for name in connection.execute(used).scalars().all():
        connection.exec_driver_sql(f"ALTER TABLE {name} AUTO_INCREMENT = 1")
