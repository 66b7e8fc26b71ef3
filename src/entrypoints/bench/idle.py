"""Idle benchmark: start time of the service and its memory at rest."""

import http.client
import json
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from workbell.entrypoints.bench.http import PASSWORD, environment_with, free_port, running_process
from workbell.entrypoints.bench.targets import resident_bytes

LOGINS = 20
SETTLE_SECONDS = 1.0
"""Time until all threads of the service are idle."""

Report = Callable[[str], None]


@frozen
class IdleService:
    """A running service, and the seconds it took to answer."""

    pid: int
    port: int
    seconds: float

    def row(self, label: str, report: Report) -> dict[str, Any]:
        """Return start time and resident memory as a row."""
        time.sleep(SETTLE_SECONDS)
        mib = resident_bytes(self.pid) / 2**20
        report(f"{label}: healthy after {self.seconds:.1f} s, {mib:.0f} MiB")
        return {
            "service": label,
            "healthy after, s": round(self.seconds, 1),
            "resident, MiB": round(mib, 1),
        }

    def log_in(self) -> None:
        """Log in as the administrator."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        body = json.dumps({"username": "admin", "password": PASSWORD})
        connection.request("POST", "/api/v1/auth/login", body, {"Content-Type": "application/json"})
        status = connection.getresponse().status
        connection.close()
        if status != 200:
            raise RuntimeError(f"The login failed with status {status}.")


def measure(report: Report) -> list[dict[str, Any]]:
    """Run the benchmark; return its rows."""
    with tempfile.TemporaryDirectory(prefix="workbell-idle-") as scratch:
        with _running_service(Path(scratch)) as first:
            rows = [first.row("first start, which creates the tables", report)]
        with _running_service(Path(scratch)) as later:
            rows.append(later.row("any later start", report))
            for _ in range(LOGINS):
                later.log_in()
            rows.append(later.row(f"the same, after {LOGINS} logins", report))
    return rows


@contextmanager
def _running_service(folder: Path) -> Generator[IdleService]:
    environment = environment_with(
        {
            "DATABASE_URL": f"sqlite:///{folder / 'workbell.db'}",
            "DATA_DIR": str(folder),
            "ADMIN_PASSWORD": PASSWORD,
            "RATE_LIMIT_LOGIN": "off",
        }
    )
    port, started = free_port(), time.perf_counter()
    with running_process(("up", "--port", str(port)), environment, port) as process:
        yield IdleService(process.pid, port, time.perf_counter() - started)
