"""Idle benchmark: start time of the service and its memory at rest."""

import tempfile
import time

from workbell.entrypoints.bench.http import PASSWORD, ServerProcess, log_in, running_process
from workbell.entrypoints.bench.rows import Row, report
from workbell.entrypoints.bench.targets import resident_bytes

LOGINS = 20
SETTLE_SECONDS = 1.0
"""Time until all threads of the service are idle."""


def measure() -> list[Row]:
    """Run the benchmark; return its rows."""
    with tempfile.TemporaryDirectory(prefix="workbell-idle-") as folder:
        settings = {
            "DATABASE_URL": f"sqlite:///{folder}/workbell.db",
            "DATA_DIR": folder,
            "ADMIN_PASSWORD": PASSWORD,
            "RATE_LIMIT_LOGIN": "off",
        }
        with running_process("up", settings) as first:
            rows = [_measure(first, "first start, which creates the tables")]
        with running_process("up", settings) as later:
            rows.append(_measure(later, "any later start"))
            for _ in range(LOGINS):
                if (status := log_in(later.port, "admin").status) != 200:
                    raise RuntimeError(f"The login failed with status {status}.")
            rows.append(_measure(later, f"the same, after {LOGINS} logins"))
    return rows


def _measure(service: ServerProcess, label: str) -> Row:
    """Return start time and resident memory as a row."""
    time.sleep(SETTLE_SECONDS)
    mib = resident_bytes(service.id) / 2**20
    report(f"{label}: healthy after {service.start_seconds:.1f} s, {mib:.0f} MiB")
    return {
        "service": label,
        "healthy after, s": round(service.start_seconds, 1),
        "resident, MiB": round(mib, 1),
    }
