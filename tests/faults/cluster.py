"""An installation of several processes that a supervisor restarts."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, RLock, Thread
from typing import Any

from attrs import define, field

from tests.faults.private import AnyRedis, Database, free_port, wait_until

HERE = Path(__file__).parent
PASSWORD = "correct-horse-battery"
LEASE_SECONDS = 2
SECRET_KEY = "the secret key of the fault tests"


class NoResponseError(Exception):
    """The service sent no response, or an incomplete one."""


@define
class Client:
    """An HTTP client of one port."""

    port: int
    token: str | None = None

    def call(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """
        Send a request; return the status and the decoded body.

        Raises:
            NoResponseError: There was no complete response.
        """
        sent = {"Content-Type": "application/json", **(headers or {})}
        if self.token is not None:
            sent["Authorization"] = f"Bearer {self.token}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise NoResponseError(str(error)) from error
        finally:
            connection.close()
        kind = response.getheader("Content-Type", "")
        return response.status, json.loads(content) if content and "json" in kind else content

    def call_with_retry(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Repeat a request for up to 60 s until the status is below 500."""
        until = time.monotonic() + 60
        while True:
            try:
                status, response = self.call(method, path, body, headers)
                if status < 500 or time.monotonic() > until:
                    return status, response
            except NoResponseError:
                if time.monotonic() > until:
                    raise
            time.sleep(0.05)

    def login(self, username: str = "admin") -> "Client":
        """Return a client with an access token of a user."""
        body = {"username": username, "password": PASSWORD}
        status, response = self.call_with_retry("POST", "/api/v1/auth/login", body)
        assert status == 200, response
        return Client(self.port, str(response["access"]))


@define(eq=False)
class Part:
    """One process of the installation; it can be restarted."""

    role: str
    environ: dict[str, str]
    port: int
    folder: Path
    wanted: bool = True
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    def start(self) -> None:
        """Start the process; poll `ready` to wait for it."""
        self.starts += 1
        self.process = subprocess.Popen(
            [sys.executable, "-m", "workbell", self.role],
            env=self.environ, cwd=self.folder, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def ready(self) -> bool:
        """Whether the process reports ready."""
        try:
            return Client(self.port).call("GET", "/readyz")[0] == 200
        except NoResponseError:
            return False

    def is_settled(self) -> bool:
        """Whether it is ready, or intentionally stopped."""
        return not self.wanted or self.ready()

    def has_started(self, times: int) -> bool:
        """Whether it was started more than `times` times."""
        return self.starts > times

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        assert self.process is not None
        self.process.send_signal(number)


@define(eq=False)
class Cluster:
    """
    One installation on one database: its processes and their supervisor.

    On SQLite one process has all roles; else there are one API process,
    several workers and several schedulers.
    """

    folder: Path
    database: Database
    redis: AnyRedis | None
    parts: list[Part] = field(factory=list[Part])
    admin: Client = field(factory=lambda: Client(0))
    _settings: dict[str, str] = field(factory=dict[str, str])
    _count: int = 0
    _stopping: Event = field(factory=Event)
    _guard: RLock = field(factory=RLock)
    _supervisor: Thread | None = None

    @property
    def notes(self) -> Path:
        """File in which task bodies record start and end."""
        return self.folder / "notes"

    @property
    def is_embedded(self) -> bool:
        """Whether one process has all roles."""
        return self.database.kind == "sqlite"

    def start(
        self, workers: int = 2, schedulers: int = 1, settings: Mapping[str, str] | None = None
    ) -> None:
        """Migrate, start all processes and wait until they are ready."""
        self.notes.touch()
        self._settings = dict(settings or {})
        roles = ["up"] if self.is_embedded else ["api"]
        if not self.is_embedded:
            roles += ["worker"] * workers + ["scheduler"] * schedulers
        if not self.is_embedded:
            migration = self._part("migrate")
            migration.start()
            assert migration.process is not None
            assert migration.process.wait(60) == 0
        self.add(*roles)
        self.admin = Client(self.parts[0].port).login()
        self._supervisor = Thread(target=self._supervise, daemon=True)
        self._supervisor.start()

    def add(self, *roles: str) -> list[Part]:
        """Start further processes, and wait until they are ready."""
        added = [self._part(role) for role in roles]
        for part in added:
            part.start()
        for part in added:
            self._wait_for(part)
        self.parts += added
        return added

    def remove(self, parts: Sequence[Part]) -> None:
        """Kill processes; the supervisor does not restart them."""
        for part in parts:
            part.wanted = False
            self.kill(part)
            self.parts.remove(part)

    def close(self) -> None:
        """Stop every process."""
        self._stopping.set()
        if self._supervisor is not None:
            self._supervisor.join()
        for part in self.parts:
            if part.process is not None and part.process.poll() is None:
                part.send(signal.SIGCONT)
                part.send(signal.SIGTERM)
        for part in self.parts:
            if part.process is not None:
                try:
                    part.process.wait(15)
                except subprocess.TimeoutExpired:
                    part.process.kill()
                    part.process.wait()

    def with_role(self, role: str) -> list[Part]:
        """Return the processes that have a role."""
        return [part for part in self.parts if part.role in (role, "up")]

    def kill(self, part: Part) -> None:
        """Kill a process; the supervisor restarts it."""
        with self._guard:
            part.send(signal.SIGKILL)
            assert part.process is not None
            part.process.wait()

    def settle(self) -> None:
        """Wait until every process is ready again."""
        for part in self.parts:
            wait_until(part.is_settled, f"{part.role} to be ready")

    @contextmanager
    def without(self, role: str) -> Iterator[None]:
        """Stop all processes of a role during the block."""
        parts = self.with_role(role)
        for part in parts:
            part.wanted = False
            self.kill(part)
        yield
        for part in parts:
            part.wanted = True
        self.settle()

    def _supervise(self) -> None:
        while not self._stopping.wait(0.02):
            with self._guard:
                for part in self.parts:
                    if part.wanted and part.process is not None and part.process.poll() is not None:
                        part.start()

    def _wait_for(self, part: Part) -> None:
        def is_up() -> bool:
            assert part.process is not None
            if part.process.poll() is not None:
                log = Path(part.environ["WORKBELL_LOG_FILE"])
                text = log.read_text()[-4000:] if log.exists() else "nothing was logged"
                raise AssertionError(f"{part.role} did not start: {text}")
            return part.ready()

        wait_until(is_up, f"{part.role} to start")

    def _part(self, role: str) -> Part:
        self._count += 1
        port = free_port()
        environ = {
            **{k: v for k, v in os.environ.items() if not k.startswith("WORKBELL_")},
            "WORKBELL_DATABASE_URL": self.database.url,
            "WORKBELL_DATA_DIR": str(self.folder / "data"),
            "WORKBELL_SECRET_KEY": SECRET_KEY,
            "WORKBELL_LEASE_SECONDS": str(LEASE_SECONDS),
            "WORKBELL_WORKER_THREADS": "4",
            "WORKBELL_ADMIN_PASSWORD": PASSWORD,
            "WORKBELL_TASKS": "fault_tasks",
            "WORKBELL_RATE_LIMIT_ANON": "off",
            "WORKBELL_RATE_LIMIT_USER": "off",
            "WORKBELL_ACCESS_TOKEN_MINUTES": "1440",
            "WORKBELL_REQUIRE_VERIFIED_EMAIL": "none",
            "WORKBELL_MAX_WAITING_JOBS": "1000000",
            "WORKBELL_ALLOW_PRIVATE_DESTINATIONS": "true",
            "WORKBELL_LOG_FILE": str(self.folder / f"{role}-{self._count}.log"),
            "FAULT_NOTES": str(self.notes),
            "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]),
            **self._settings,
        }
        environ["WORKBELL_PORT" if role in ("up", "api") else "WORKBELL_METRICS_PORT"] = str(port)
        if self.redis is not None:
            environ["WORKBELL_REDIS_URL"] = self.redis.url
        return Part(role, environ, port, self.folder)
