"""Real processes on one database: started, asked, stopped, killed."""

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
SELDOM = f"from workbell.adapters.dramatiq import runtime; runtime.SWEEP_SECONDS = 600.0; {START}"


def until(look: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Return what a look finds as soon as it finds something."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.01)
    raise AssertionError("it did not come about in time")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@define(eq=False)
class Part:
    """One process, and where it answers."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def get(self, path: str, token: str | None = None) -> tuple[int, Any]:
        """Return the status and the body of what it answers; 0 where it does not."""
        return self.call("GET", path, token)

    def call(
        self, method: str, path: str, token: str | None = None, body: Any = None
    ) -> tuple[int, Any]:
        """Return the status and the body of what it answers; 0 where it does not."""
        headers = {"Content-Type": "application/json"} if body else {}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        sent = msgspec.json.encode(body) if body else None
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, sent, headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            return 0, None
        finally:
            connection.close()
        kind = answer.getheader("Content-Type", "")
        return answer.status, msgspec.json.decode(content) if "json" in kind else content.decode()

    def is_ready(self) -> bool:
        """Whether it says that it is ready; it must not have ended."""
        assert self.process.poll() is None, self.log.read_text()
        return self.get("/readyz")[0] == 200

    def is_unready(self) -> bool:
        """Whether it says that it is not ready."""
        return self.get("/readyz")[0] == 503

    def terminate(self) -> int:
        """Ask it to stop; return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


@define(eq=False)
class Fleet:
    """The processes of one installation, and a house of the test's own beside them."""

    folder: Path
    database_url: str
    redis_url: str | None
    parts: list[Part] = field(factory=list[Part])
    application: Application = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Migrate, and open the house."""
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
        """Start a process, and wait until it is ready."""
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
        if packages != PACKAGES:  # a copy is gone before anybody could show what of it was run
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
        made = Part(process, port, log)
        self.parts.append(made)
        if ready:
            until(made.is_ready)
        return made

    def enqueue(self, task: str, **parameters: Any) -> Job:
        """Enqueue a job from this process."""
        return self.application.jobs.create(
            SYSTEM, NewJob(task_definition=task, parameters=parameters)
        )[0]

    def see(self, job: Job) -> Job:
        """Return a job as it stands."""
        return self.application.jobs.get(SYSTEM, JobId(job.id))

    def ended(self, job: Job) -> Job:
        """Return a job when it has ended."""
        until(lambda: self.see(job).state.ended)
        return self.see(job)

    def close(self) -> None:
        """End every process at once, with those that an API process has started."""
        for part in self.parts:
            if part.process.poll() is None:
                os.killpg(part.process.pid, signal.SIGKILL)
                part.process.wait()
        self.application.close()


@define(eq=False)
class OwnRedis:
    """A Redis of the test's own, to be killed and started again on its port."""

    folder: Path
    port: int = field(factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, keeping nothing, and wait until it answers."""
        command = ["redis-server", "--port", str(self.port), "--save", "", "--dir"]
        self.process = subprocess.Popen(
            [*command, str(self.folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(self._answers)

    def kill(self) -> None:
        """End it at once."""
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
    """Have a Redis of the test's own; skip where none is installed, unless it is required."""
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
class Gate:
    """A way to a server that can be shut, and opened again on the same port."""

    to: tuple[str, int]
    port: int = field(factory=free_port)
    _server: socket.socket | None = None
    _open: list[socket.socket] = field(factory=list[socket.socket])

    def open(self) -> None:
        """Let everybody through from now on."""
        self._server = server = socket.create_server(("127.0.0.1", self.port))
        Thread(target=self._accept, args=(server,), daemon=True).start()

    def shut(self) -> None:
        """Cut every connection, and take no more."""
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
                there = socket.create_connection(self.to)
                self._open += [client, there]
                for source, target in ((client, there), (there, client)):
                    Thread(target=_pump, args=(source, target), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while received := source.recv(65_536):
            target.sendall(received)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def counted(exposition: str) -> Mapping[str, float]:
    """Return the values of the metrics in an exposition, by series."""
    lines = (line.rpartition(" ") for line in exposition.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}
