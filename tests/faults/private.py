"""Private servers in a scratch folder, which faults flush, stop and kill."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import redis
from attrs import define, field
from sqlalchemy import NullPool, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

PATIENCE = 60.0
_PLACES = (*os.environ.get("PATH", "").split(":"), "/usr/sbin", "/usr/local/sbin")


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(name: str) -> str | None:
    """Return the path of a server's program, or None if it is not installed."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return shutil.which(name, path=":".join([*map(str, versions), *_PLACES]))


def wait_until(holds: Callable[[], bool], what: str, patience: float = PATIENCE) -> float:
    """Wait until a condition holds, and return the seconds."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > patience:
            raise AssertionError(f"gave up after {patience:.0f} s of waiting for {what}")
        time.sleep(0.05)
    return time.monotonic() - began


class Database(Protocol):
    """A database into which faults are injected."""

    kind: str
    url: str
    outage: str

    def disturb(self) -> None:
        """Restart the server, or cut every connection to it."""
        ...

    def close(self) -> None:
        """Remove all data."""
        ...


@define
class NoServer:
    """SQLite: a file without a server."""

    url: str
    kind: str = "sqlite"
    outage: str = "none"

    def disturb(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing: the folder is deleted."""


@define
class OwnServer:
    """A PostgreSQL or MariaDB server started for the tests."""

    kind: str
    folder: Path
    url: str
    command: list[str]
    user: str | None
    process: subprocess.Popen[bytes] | None = None
    outage: str = "crash and restart"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self.process = subprocess.Popen(
            self.command, cwd=self.folder, env=_environ(self.folder),
            user=self.user, group=self.user, extra_groups=_groups(self.user),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_until(lambda: answers(self.url), f"{self.kind} to answer")

    def disturb(self) -> None:
        """Crash the server, and start it again."""
        self._crash()
        self.start()

    def close(self) -> None:
        """Stop the server."""
        self._crash()

    def _crash(self) -> None:
        assert self.process is not None
        # PostgreSQL's immediate shutdown: no checkpoint, so it recovers from its log
        how = signal.SIGQUIT if self.kind == "postgresql" else signal.SIGKILL
        self.process.send_signal(how)
        self.process.wait(30)


@define
class GivenServer:
    """A scratch database on the user's server; faults only cut its connections."""

    kind: str
    admin: str
    url: str
    name: str
    outage: str = "all connections cut"

    def disturb(self) -> None:
        """Cut every connection to the scratch database."""
        if self.kind == "postgresql":
            _run(
                self.admin,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                f"WHERE datname = '{self.name}'",
            )
            return
        engine = create_engine(self.admin, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as db:
            of_it = text("SELECT id FROM information_schema.processlist WHERE db = :name")
            for number in db.execute(of_it, {"name": self.name}).scalars().all():
                try:
                    db.exec_driver_sql(f"KILL {number}")
                except DBAPIError:  # the connection has ended
                    continue

    def close(self) -> None:
        """Drop the scratch database."""
        force = " WITH (FORCE)" if self.kind == "postgresql" else ""
        _run(self.admin, f"DROP DATABASE IF EXISTS {self.name}{force}")


def answers(url: str) -> bool:
    """Whether a database answers at a URL."""
    try:
        _run(url, "SELECT 1")
    except DBAPIError:
        return False
    return True


def _run(url: str, statement: str) -> None:
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as db:
        db.exec_driver_sql(statement)


def given(url: str, name: str) -> GivenServer:
    """Create a scratch database on the user's server."""
    parsed = make_url(url)
    kind = "postgresql" if parsed.get_backend_name().startswith("postgres") else "mariadb"
    driver = "postgresql+psycopg" if kind == "postgresql" else "mysql+pymysql"
    admin = parsed.set(drivername=driver)
    shown: Any = admin.render_as_string(hide_password=False)
    _run(shown, f"CREATE DATABASE {name}")
    own = admin.set(database=name).render_as_string(hide_password=False)
    return GivenServer(kind, shown, own, name)


def own_database(kind: str, folder: Path) -> OwnServer | None:
    """Start a database server in a folder; return None if it is not installed."""
    make = _postgresql if kind == "postgresql" else _mariadb
    return make(folder)


def _ready(folder: Path, account: str) -> str | None:
    """Create a folder that a server may use; return its account, if one is needed."""
    folder.mkdir(parents=True)
    if os.geteuid() != 0:
        return None
    for parent in (folder, *folder.parents[:1]):
        parent.chmod(parent.stat().st_mode | 0o055)
    known = pwd.getpwnam(account)
    os.chown(folder, known.pw_uid, known.pw_gid)
    return account


def _environ(folder: Path) -> dict[str, str]:
    """Return the environment of a server, with scratch files in its folder."""
    return {**os.environ, "TMPDIR": str(folder)}


def _groups(account: str | None) -> list[str] | None:
    """Return the extra groups of a process: none if it runs as another account."""
    return None if account is None else []


def _postgresql(folder: Path) -> OwnServer | None:
    initdb, postgres = program("initdb"), program("postgres")
    if initdb is None or postgres is None:
        return None
    user, port, data = _ready(folder, "postgres"), free_port(), folder / "data"
    subprocess.run(
        [initdb, "-D", data, "-U", "postgres", "-A", "trust", "--no-instructions"],
        cwd=folder, check=True, stdout=subprocess.DEVNULL, env=_environ(folder),
        user=user, group=user, extra_groups=_groups(user),
    )  # fmt: skip
    command = [postgres, "-D", str(data), "-p", str(port), "-k", str(folder), "-h", "127.0.0.1"]
    url = f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
    server = OwnServer("postgresql", folder, url, command, user)
    server.start()
    return server


def _mariadb(folder: Path) -> OwnServer | None:
    install, mariadbd = program("mariadb-install-db"), program("mariadbd")
    if install is None or mariadbd is None:
        return None
    user, port, data = _ready(folder, "mysql"), free_port(), folder / "data"
    subprocess.run(
        [install, "--no-defaults", f"--datadir={data}", "--skip-test-db",
         "--auth-root-authentication-method=normal"],
        cwd=folder, check=True, env=_environ(folder),
        user=user, group=user, extra_groups=_groups(user),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    command = [
        mariadbd, "--no-defaults", f"--datadir={data}", f"--port={port}",
        f"--socket={folder / 's'}", "--bind-address=127.0.0.1", f"--pid-file={folder / 'pid'}",
    ]  # fmt: skip
    system = f"mysql+pymysql://root@127.0.0.1:{port}/mysql"
    server = OwnServer("mariadb", folder, system, command, user)
    server.start()
    _run(system, "CREATE DATABASE workbell")
    server.url = f"mysql+pymysql://root@127.0.0.1:{port}/workbell"
    return server


@define
class OwnRedis:
    """A Redis server started for the tests, without persistence."""

    folder: Path
    port: int = field(factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    outage: str = "stopped"

    @property
    def url(self) -> str:
        """The URL of the server."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        found = program("redis-server")
        assert found is not None
        self.process = subprocess.Popen(
            [found, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""],
            cwd=self.folder, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        wait_until(self._answers, "Redis to answer")

    def flush(self) -> None:
        """Delete all keys."""
        redis.Redis.from_url(self.url).flushall()

    def stop(self) -> None:
        """Kill the server."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """Stop the server."""
        self.stop()

    def _answers(self) -> bool:
        try:
            return bool(redis.Redis.from_url(self.url).ping())
        except redis.RedisError:
            return False


@define
class GivenRedis:
    """A logical database of the user's Redis: flushed, never stopped."""

    url: str
    outage: str = "all clients cut"

    def __attrs_post_init__(self) -> None:
        if redis.Redis.from_url(self.url).dbsize():
            raise SystemExit(f"The database {self.url} is not empty: name a scratch one.")

    def flush(self) -> None:
        """Delete all keys of this logical database."""
        redis.Redis.from_url(self.url).flushdb()

    def stop(self) -> None:
        """Cut every client of this logical database."""
        link = redis.Redis.from_url(self.url)
        number = str(link.connection_pool.connection_kwargs.get("db", 0))
        for client in link.client_list():
            if client["db"] == number:
                link.client_kill_filter(_id=client["id"])

    def start(self) -> None:
        """Do nothing: the server was not stopped."""

    def close(self) -> None:
        """Remove all data."""
        self.flush()


AnyRedis = OwnRedis | GivenRedis
