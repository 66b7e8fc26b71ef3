"""Processes of an installation: start, call, stop and kill them."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest
from attrs import define, field

import workbell
from workbell.domain.identity.actor import SYSTEM
from workbell.domain.jobs.job import Job, JobId
from workbell.entrypoints.bootstrap.application import Application
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.config.settings import Settings
from workbell.services.jobs.requests import NewJob

HERE = Path(__file__).parent
PACKAGES = Path(workbell.__file__).parent.parent
SECRET = "0123456789abcdef0123456789abcdef"
PASSWORD = "correct-horse-battery"
PATIENCE = 60.0
START = "import sys; from workbell.entrypoints.cli.main import main; main(sys.argv[1:])"
RARE_SWEEPS = (
    f"from workbell.adapters.dramatiq import runtime; runtime.SWEEP_SECONDS = 600.0; {START}"
)


def until(condition: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Wait until `condition()` is true; return its value."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError(f"not true within {patience} s")


def free_port() -> int:
    """Return an unused port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@define(eq=False)
class Part:
    """One process, its HTTP port and its log."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def get(self, path: str, token: str | None = None) -> tuple[int, Any]:
        """Send a request; return status and body; the status is 0 without a response."""
        return self.call("GET", path, token)

    def call(
        self, method: str, path: str, token: str | None = None, body: Any = None
    ) -> tuple[int, Any]:
        """Send a request; return status and body; the status is 0 without a response."""
        headers = {"Content-Type": "application/json"} if body else {}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        sent = msgspec.json.encode(body) if body else None
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, sent, headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            return 0, None
        finally:
            connection.close()
        kind = response.getheader("Content-Type", "")
        return response.status, msgspec.json.decode(content) if "json" in kind else content.decode()

    def is_ready(self) -> bool:
        """Whether it reports ready; fails if the process has ended."""
        assert self.process.poll() is None, self.log.read_text()
        return self.get("/readyz")[0] == 200

    def is_unready(self) -> bool:
        """Whether it reports not ready."""
        return self.get("/readyz")[0] == 503

    def terminate(self) -> int:
        """Send SIGTERM; return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


@define(eq=False)
class Fleet:
    """The processes of one installation, and an application in the test process."""

    folder: Path
    database_url: str
    redis_url: str | None
    parts: list[Part] = field(factory=list[Part])
    application: Application = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Build the application and migrate."""
        self.application = build(
            Settings(
                database_url=self.database_url,
                redis_url=self.redis_url,
                secret_key=SECRET,
                data_dir=self.folder / "data",
                database_pool_size=4,
            ),
            tasks=[workbell.Task(key=key, body=lambda *_: None) for key in ("touch", "hold")],
        )
        self.application.migrate_and_register()

    def start(
        self,
        part: str,
        *arguments: str,
        code: str = START,
        packages: Path = PACKAGES,
        ready: bool = True,
        **settings: str,
    ) -> Part:
        """Start a process and, unless `ready=False`, wait until it is ready."""
        port = free_port()
        environ = {
            **{k: v for k, v in os.environ.items() if not k.startswith("WORKBELL_")},
            "WORKBELL_DATABASE_URL": self.database_url,
            "WORKBELL_REDIS_URL": self.redis_url or "",
            "WORKBELL_SECRET_KEY": SECRET,
            "WORKBELL_DATA_DIR": str(self.folder / "data"),
            "WORKBELL_ADMIN_PASSWORD": PASSWORD,
            "WORKBELL_PORT" if part == "api" else "WORKBELL_METRICS_PORT": str(port),
            "WORKBELL_WORKER_THREADS": "2",
            "WORKBELL_LEASE_SECONDS": "2",
            "WORKBELL_RATE_LIMIT_ANON": "off",
            "WORKBELL_RATE_LIMIT_USER": "off",
            "WORKBELL_TASKS": "process_tasks",
            "PYTHONPATH": f"{packages}{os.pathsep}{HERE}",
            **{f"WORKBELL_{name.upper()}": value for name, value in settings.items()},
        }
        if packages != PACKAGES:  # the copy is deleted before coverage is reported
            environ.pop("COVERAGE_PROCESS_CONFIG", None)
        log = self.folder / f"{len(self.parts)}-{part}.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-c", code, part, *arguments],
                env=environ,
                cwd=self.folder,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        started = Part(process, port, log)
        self.parts.append(started)
        if ready:
            until(started.is_ready)
        return started

    def enqueue(self, task: str, **parameters: Any) -> Job:
        """Enqueue a job from this process."""
        return self.application.jobs.create(
            SYSTEM, NewJob(task_definition=task, parameters=parameters)
        )[0]

    def reload(self, job: Job) -> Job:
        """Return the current job."""
        return self.application.jobs.get(SYSTEM, JobId(job.id))

    def wait_for_end(self, job: Job) -> Job:
        """Wait until a job has ended; return it."""
        until(lambda: self.reload(job).state.ended)
        return self.reload(job)

    def close(self) -> None:
        """Kill all processes and their children."""
        for part in self.parts:
            if part.process.poll() is None:
                os.killpg(part.process.pid, signal.SIGKILL)
                part.process.wait()
        self.application.close()


@define(eq=False)
class OwnRedis:
    """A Redis server that can be killed and restarted on its port."""

    folder: Path
    port: int = field(factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """URL of the server."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it without persistence, and wait until it responds."""
        command = ["redis-server", "--port", str(self.port), "--save", "", "--dir"]
        self.process = subprocess.Popen(
            [*command, str(self.folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(self._answers)

    def kill(self) -> None:
        """Kill it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0) as client:
            client.sendall(b"PING\r\n")
            return client.recv(16) == b"+PONG\r\n"
        return False


@contextmanager
def own_redis(folder: Path) -> Iterator[OwnRedis]:
    """Run a Redis server; skip the test if it is not installed and not required."""
    if shutil.which("redis-server") is None and "redis" not in os.environ.get(
        "WORKBELL_TEST_REQUIRE", ""
    ):
        pytest.skip("no redis-server is installed")
    redis = OwnRedis(folder)
    redis.start()
    try:
        yield redis
    finally:
        redis.kill()


@define(eq=False)
class TcpProxy:
    """A TCP proxy to a server that can be closed, and opened again on the same port."""

    to: tuple[str, int]
    port: int = field(factory=free_port)
    _server: socket.socket | None = None
    _open: list[socket.socket] = field(factory=list[socket.socket])

    def open(self) -> None:
        """Accept connections."""
        self._server = server = socket.create_server(("127.0.0.1", self.port))
        Thread(target=self._accept, args=(server,), daemon=True).start()

    def close(self) -> None:
        """Close all connections and the listener."""
        if self._server is not None:
            self._server.shutdown(socket.SHUT_RDWR)
            self._server.close()
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._open.clear()

    def _accept(self, server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = server.accept()
                upstream = socket.create_connection(self.to)
                self._open += [client, upstream]
                for source, target in ((client, upstream), (upstream, client)):
                    Thread(target=_pump, args=(source, target), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while received := source.recv(65_536):
            target.sendall(received)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def parse_metrics(exposition: str) -> Mapping[str, float]:
    """Return the values of an exposition by series."""
    lines = (line.rpartition(" ") for line in exposition.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}
