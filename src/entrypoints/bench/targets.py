"""Where benchmarks measure: scratch databases, made and dropped."""

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

_FORCE = {"postgresql": " WITH (FORCE)"}


@frozen
class Target:
    """
    A kind of store to measure: SQLite's files, or databases on one server.

    `database` is the URL of an empty database on the server; each measurement
    makes one of its own beside it.
    """

    database: URL | None = None
    redis: str | None = None

    @classmethod
    def parse(cls, database: str | None, redis: str | None = None) -> "Target":
        """
        Return the place that a URL names; without one, SQLite in a temporary folder.

        Raises:
            Invalid: There is no such server, or the database is not empty.
        """
        if database is None:
            return cls(redis=redis)
        url = make_url(database)
        if not is_server(url):
            raise Invalid(f"{database!r} is no database on a server; SQLite needs no --database.")
        url = url.set(drivername=DRIVERS[url.get_backend_name()])
        with _admin_connection(url) as connection:
            if tables := inspect(connection).get_table_names():
                raise Invalid(
                    f"{url.database!r} is not empty, it holds {tables[0]!r}: is it yours?"
                )
        return cls(url, redis)

    @property
    def suffix(self) -> str:
        """What tells this place's results from those of SQLite."""
        return "" if self.database is None else f"-{self.database.get_backend_name()}"

    @contextmanager
    def settings(self) -> Generator[Settings]:
        """Have the settings for an empty store, which is gone afterwards."""
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
        """Have a house over an empty store."""
        with self.settings() as settings:
            application = build(settings, tasks=tasks, clock=clock)
            application.migrate_and_register()
            try:
                yield application
            finally:
                application.close()


@contextmanager
def _scratch_database(beside: URL) -> Generator[URL]:
    name = f"workbell_bench_{secrets.token_hex(6)}"
    with _admin_connection(beside) as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield beside.set(database=name)
    finally:
        with _admin_connection(beside) as connection:
            force = _FORCE.get(beside.get_backend_name(), "")
            connection.exec_driver_sql(f"DROP DATABASE {name}{force}")


@contextmanager
def _admin_connection(url: URL) -> Generator[Connection]:
    engine: Any = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        yield connection


def resident_bytes(pid: int | str = "self") -> int:
    """Return the memory that a process holds now, in bytes; Linux only."""
    pages = Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]
    return int(pages) * resource.getpagesize()
