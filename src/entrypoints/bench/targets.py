"""Targets of benchmarks: temporary databases."""

import gc
import resource
import secrets
import tempfile
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen
from sqlalchemy import URL, Connection, NullPool, create_engine, inspect, make_url

from workbell.adapters.sql.database.server import DRIVERS, is_server
from workbell.domain.errors import Invalid
from workbell.domain.jobs.task import Task
from workbell.entrypoints.bootstrap.application import Application
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.config.settings import Settings
from workbell.ports.system import Clock


@frozen
class Target:
    """
    SQLite files, or temporary databases on one server.

    `database` is the URL of an empty database on the server; each measurement
    creates another database next to it and drops it afterwards.
    """

    database: URL | None = None
    redis: str | None = None

    @classmethod
    def parse(cls, database: str | None, redis: str | None = None) -> "Target":
        """
        Parse the URL of an empty database; None is a temporary SQLite file.

        Raises:
            Invalid: The URL is not of a database server, or the database is not empty.
        """
        if database is None:
            return cls(redis=redis)
        url = make_url(database)
        if not is_server(url):
            raise Invalid(f"{database!r} is no server; for SQLite omit --database.")
        url = url.set(drivername=DRIVERS[url.get_backend_name()])
        with _admin_connection(url) as connection:
            if tables := inspect(connection).get_table_names():
                raise Invalid(
                    f"{url.database!r} is not empty (table {tables[0]!r}); name an empty database."
                )
        return cls(url, redis)

    @property
    def suffix(self) -> str:
        """Suffix of result files; empty for SQLite."""
        return "" if self.database is None else f"-{self.database.get_backend_name()}"

    @contextmanager
    def settings(self) -> Generator[Settings]:
        """Yield settings of an empty store, which is deleted afterwards."""
        with tempfile.TemporaryDirectory(prefix="workbell-bench-") as scratch:
            folder = Path(scratch)
            if self.database is None:
                yield Settings(data_dir=folder, database_url=f"sqlite:///{folder / 'bench.db'}")
                return
            with _scratch_database(self.database) as url:
                yield Settings(
                    data_dir=folder,
                    database_url=url.render_as_string(hide_password=False),
                    redis_url=self.redis,
                    secret_key=secrets.token_hex(32),
                )

    @contextmanager
    def application(
        self, tasks: Iterable[Task], clock: Clock | None = None
    ) -> Generator[Application]:
        """Yield an application on an empty store."""
        with self.settings() as settings, open_application(settings, tasks, clock) as application:
            gc.freeze()
            yield application


@contextmanager
def open_application(
    settings: Settings, tasks: Iterable[Task] = (), clock: Clock | None = None
) -> Generator[Application]:
    """Build and migrate an application; close it at the end."""
    application = build(settings, tasks=tasks, clock=clock)
    try:
        application.migrate_and_register()
        yield application
    finally:
        application.close()


@contextmanager
def _scratch_database(server: URL) -> Generator[URL]:
    name = f"workbell_bench_{secrets.token_hex(6)}"
    with _admin_connection(server) as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield server.set(database=name)
    finally:
        with _admin_connection(server) as connection:
            force = " WITH (FORCE)" if server.get_backend_name() == "postgresql" else ""
            connection.exec_driver_sql(f"DROP DATABASE {name}{force}")


@contextmanager
def _admin_connection(url: URL) -> Generator[Connection]:
    engine: Any = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        yield connection


def resident_bytes(pid: int | str = "self") -> int:
    """Return the resident memory of a process in bytes (Linux only)."""
    pages = Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]
    return int(pages) * resource.getpagesize()
