"""What a process keeps in memory while it has nothing to do."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

import workbell

PACKAGES = Path(workbell.__file__).parents[1]
PASSWORD = "correct-horse-battery"
MIGRATED_MIB = 110
IDLE_MIB = 95
"""The goal is 90 without what developers have installed beside; coverage is paid besides."""
COVERAGE_MIB = 15 if "COVERAGE_PROCESS_CONFIG" in os.environ else 0

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells it in /proc"),
]


@contextmanager
def service(folder: Path) -> Iterator[tuple[int, str]]:
    """Run `workbell up` on SQLite; have its process id and its address."""
    environ = {
        **{k: v for k, v in os.environ.items() if not k.startswith("WORKBELL_")},
        "WORKBELL_DATA_DIR": str(folder),
        "WORKBELL_DATABASE_URL": f"sqlite:///{folder / 'workbell.db'}",
        "WORKBELL_ADMIN_PASSWORD": PASSWORD,
        "WORKBELL_RATE_LIMIT_LOGIN": "off",
        "PYTHONPATH": str(PACKAGES),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "workbell", "up", "--port", "0"],
        env=environ,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        greeting = re.search(r"http://\S+", process.stdout.readline())
        assert greeting is not None
        yield process.pid, greeting[0]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()


def resident_mib(pid: int) -> float:
    """Return how much memory a process has, once its threads have begun to wait."""
    time.sleep(1)
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024 - COVERAGE_MIB


def sign_in(address: str) -> None:
    body = f'{{"username": "admin", "password": "{PASSWORD}"}}'.encode()
    headers = {"Content-Type": "application/json"}
    with urlopen(Request(f"{address}/api/v1/auth/login", body, headers), timeout=30) as answer:
        assert answer.status == 200


def test_an_idle_service_is_small(tmp_path: Path) -> None:
    """After the start that makes its tables, and after all others."""
    with service(tmp_path) as (pid, _):
        assert resident_mib(pid) < MIGRATED_MIB
    with service(tmp_path) as (pid, _):
        assert resident_mib(pid) < IDLE_MIB


def test_signing_in_is_paid_once(tmp_path: Path) -> None:
    """The memory of a hash does not stay in every heap that ever made one."""
    with service(tmp_path) as (pid, address):
        before = resident_mib(pid)
        for _ in range(20):
            sign_in(address)
        assert resident_mib(pid) - before < 3 * 19


def test_a_start_imports_nothing_that_it_may_not_need() -> None:
    program = "import sys, workbell.entrypoints.service; print(*sys.modules)"
    listed = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(PACKAGES)},
        capture_output=True,
        text=True,
        check=True,
    )
    spared = {"alembic", "granian", "mako", "opentelemetry", "psycopg", "pymysql", "redis"}
    assert not spared & set(listed.stdout.split())
