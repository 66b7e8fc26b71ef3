"""The idle benchmark: how soon the service answers, and what it keeps."""

import http.client
import json
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from workbell.entrypoints.bench.http import PASSWORD, environment_with, free_port, running
from workbell.entrypoints.bench.targets import resident

LOGINS = 20
REST_SECONDS = 1.0
"""After it every thread of the service waits for something."""

Say = Callable[[str], None]


@frozen
class Idle:
    """A service that has nothing to do, and how many seconds it took to answer."""

    pid: int
    port: int
    seconds: float

    def row(self, what: str, say: Say) -> dict[str, Any]:
        """Return what it keeps in memory as a row."""
        time.sleep(REST_SECONDS)
        mib = resident(self.pid) / 2**20
        say(f"{what}: healthy after {self.seconds:.1f} s, {mib:.0f} MiB")
        return {
            "service": what,
            "healthy after, s": round(self.seconds, 1),
            "resident, MiB": round(mib, 1),
        }

    def sign_in(self) -> None:
        """
        Sign in as the administrator.

        Raises:
            RuntimeError: The service refuses.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        body = json.dumps({"username": "admin", "password": PASSWORD})
        connection.request("POST", "/api/v1/auth/login", body, {"Content-Type": "application/json"})
        status = connection.getresponse().status
        connection.close()
        if status != 200:
            raise RuntimeError(f"Signing in was answered by {status}.")


def measure(say: Say) -> list[dict[str, Any]]:
    """Return the rows of the benchmark; `say` is told each as it comes."""
    with tempfile.TemporaryDirectory(prefix="workbell-idle-") as scratch:
        with _service(Path(scratch)) as first:
            rows = [first.row("first start, creates the tables", say)]
        with _service(Path(scratch)) as later:
            rows.append(later.row("later start", say))
            for _ in range(LOGINS):
                later.sign_in()
            rows.append(later.row(f"later start, after {LOGINS} logins", say))
    return rows


@contextmanager
def _service(folder: Path) -> Generator[Idle]:
    environment = environment_with(
        {
            "DATABASE_URL": f"sqlite:///{folder / 'workbell.db'}",
            "DATA_DIR": str(folder),
            "ADMIN_PASSWORD": PASSWORD,
            "RATE_LIMIT_LOGIN": "off",
        }
    )
    port, begun = free_port(), time.perf_counter()
    with running(("up", "--port", str(port)), environment, port) as process:
        yield Idle(process.pid, port, time.perf_counter() - begun)
