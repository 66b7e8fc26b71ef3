"""Private servers in a temporary folder, which tests can flush, stop and kill."""

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
_FOLDERS = (*os.environ.get("PATH", "").split(":"), "/usr/sbin", "/usr/local/sbin")


def free_port() -> int:
    """Return an unused port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(name: str) -> str | None:
    """Return the path of a server's program, if it is installed."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return shutil.which(name, path=":".join([*map(str, versions), *_FOLDERS]))


def wait_until(holds: Callable[[], bool], what: str, patience: float = PATIENCE) -> float:
    """Wait until a condition holds; return the seconds waited."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > patience:
            raise AssertionError(f"waited {patience:.0f} s for {what}")
        time.sleep(0.05)
    return time.monotonic() - began


class Database(Protocol):
    """A database into which faults can be injected."""

    kind: str
    url: str
    outage: str

    def disturb(self) -> None:
        """Restart the server, or close all connections to it."""
        ...

    def close(self) -> None:
        """Stop the server, or drop the database."""
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
        """Do nothing: the folder is temporary."""


@define
class OwnServer:
    """A PostgreSQL or MariaDB server that the tests started."""

    kind: str
    folder: Path
    url: str
    command: list[str]
    user: str | None
    process: subprocess.Popen[bytes] | None = None
    outage: str = "crash and restart"

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
        self.process = subprocess.Popen(
            self.command, cwd=self.folder, env=_environ(self.folder),
            user=self.user, group=self.user, extra_groups=_groups(self.user),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_until(lambda: is_available(self.url), f"{self.kind} to answer")

    def disturb(self) -> None:
        """Crash and restart the server."""
        self._crash()
        self.start()

    def close(self) -> None:
        """Stop the server."""
        self._crash()

    def _crash(self) -> None:
        assert self.process is not None
        # PostgreSQL's immediate shutdown: no checkpoint, so it recovers from its log
        number = signal.SIGQUIT if self.kind == "postgresql" else signal.SIGKILL
        self.process.send_signal(number)
        self.process.wait(30)


@define
class GivenServer:
    """A temporary database on a server of the user; only its connections are closed."""

    kind: str
    admin: str
    url: str
    name: str
    outage: str = "all connections cut"

    def disturb(self) -> None:
        """Close all connections to the temporary database."""
        if self.kind == "postgresql":
            _run(
                self.admin,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                f"WHERE datname = '{self.name}'",
            )
            return
        engine = create_engine(self.admin, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as db:
            query = text("SELECT id FROM information_schema.processlist WHERE db = :name")
            for number in db.execute(query, {"name": self.name}).scalars().all():
                try:
                    db.exec_driver_sql(f"KILL {number}")
                except DBAPIError:  # it has ended
                    continue

    def close(self) -> None:
        """Drop the temporary database."""
        force = " WITH (FORCE)" if self.kind == "postgresql" else ""
        _run(self.admin, f"DROP DATABASE IF EXISTS {self.name}{force}")


def is_available(url: str) -> bool:
    """Whether a database accepts connections."""
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
    """Create a temporary database on a server of the user."""
    parsed = make_url(url)
    kind = "postgresql" if parsed.get_backend_name().startswith("postgres") else "mariadb"
    driver = "postgresql+psycopg" if kind == "postgresql" else "mysql+pymysql"
    admin = parsed.set(drivername=driver)
    shown: Any = admin.render_as_string(hide_password=False)
    _run(shown, f"CREATE DATABASE {name}")
    own = admin.set(database=name).render_as_string(hide_password=False)
    return GivenServer(kind, shown, own, name)


def own_database(kind: str, folder: Path) -> OwnServer | None:
    """Start a server in a folder; None if it is not installed."""
    make = _postgresql if kind == "postgresql" else _mariadb
    return make(folder)


def _prepare_folder(folder: Path, account: str) -> str | None:
    """Create a folder for a server; return the account that must run it, if root."""
    folder.mkdir(parents=True)
    if os.geteuid() != 0:
        return None
    for parent in (folder, *folder.parents[:1]):
        parent.chmod(parent.stat().st_mode | 0o055)
    known = pwd.getpwnam(account)
    os.chown(folder, known.pw_uid, known.pw_gid)
    return account


def _environ(folder: Path) -> dict[str, str]:
    """Return the environment of a server, with temporary files in its folder."""
    return {**os.environ, "TMPDIR": str(folder)}


def _groups(account: str | None) -> list[str] | None:
    """Return the supplementary groups of a process: none for another account."""
    return None if account is None else []


def _postgresql(folder: Path) -> OwnServer | None:
    initdb, postgres = program("initdb"), program("postgres")
    if initdb is None or postgres is None:
        return None
    user, port, data = _prepare_folder(folder, "postgres"), free_port(), folder / "data"
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
    user, port, data = _prepare_folder(folder, "mysql"), free_port(), folder / "data"
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
    """A Redis server that the tests started, without persistence."""

    folder: Path
    port: int = field(factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    outage: str = "stopped"

    @property
    def url(self) -> str:
        """URL of the server."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
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
    """An empty logical database of the user's Redis, which is flushed but not stopped."""

    url: str
    outage: str = "all clients cut"

    def __attrs_post_init__(self) -> None:
        if redis.Redis.from_url(self.url).dbsize():
            raise SystemExit(f"The database {self.url} is not empty; name an empty one.")

    def flush(self) -> None:
        """Delete all keys of this logical database."""
        redis.Redis.from_url(self.url).flushdb()

    def stop(self) -> None:
        """Close all connections of this logical database."""
        link = redis.Redis.from_url(self.url)
        number = str(link.connection_pool.connection_kwargs.get("db", 0))
        for client in link.client_list():
            if client["db"] == number:
                link.client_kill_filter(_id=client["id"])

    def start(self) -> None:
        """Do nothing: it is never stopped."""

    def close(self) -> None:
        """Delete all keys."""
        self.flush()


AnyRedis = OwnRedis | GivenRedis
