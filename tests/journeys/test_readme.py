"""Every command and program of README and guides works as printed."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
START = "make run"
STARTS = (START, "workbell up")
"""Last words of a block that starts the service and does not return."""
PORT = "8000"
NOT_PROGRAMS = ("context.configure(...,", "serve_forever()")
"""Mark a fragment and a server, which tests/adapters/sql/test_coexistence.py and
tests/journeys/test_receivers.py run."""


def _blocks(page: Path, language: str) -> list[str]:
    return [text for found, text in BLOCK.findall(page.read_text("utf-8")) if found == language]


SHELL = [page for page in PAGES if _blocks(page, "bash")]
PROGRAMS = [
    pytest.param(program, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, program in enumerate(_blocks(page, "python"))
    if not any(mark in program for mark in NOT_PROGRAMS)
]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment(folder: Path, port: int) -> dict[str, str]:
    """Return variables that let the commands of a page use this installation and a scratch folder."""
    tools = folder / "tools"
    tools.mkdir()
    make = tools / "make"
    (folder / ".venv").symlink_to(sys.prefix)
    make.write_text(
        f"#!/bin/sh\nexec {shutil.which('make')} -C '{ROOT}' "
        f"-o '{sys.prefix}/.run' 'VENV={sys.prefix}' \"$@\"\n"
    )
    make.chmod(0o755)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("WORKBELL_")}
    return plain | {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "WORKBELL_DATA_DIR": str(folder / ".workbell"),
        "WORKBELL_PORT": str(port),
    }


@contextmanager
def _started(command: str, folder: Path, environment: dict[str, str]) -> Generator[None]:
    """Run the block that starts the service, until the context ends."""
    with (folder / "service.log").open("wb") as log:
        process = subprocess.Popen(
            ["bash", "-eu", "-c", command],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait_until_ready(int(environment["WORKBELL_PORT"]), process)
            yield
        finally:
            os.killpg(process.pid, 15)
            process.wait(timeout=60)


def _wait_until_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "the service ended"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    pytest.fail("the service is not ready after 60 s")


@pytest.mark.parametrize("page", SHELL, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_work_in_their_order(page: Path, tmp_path: Path) -> None:
    """One shell runs all blocks, against the service that the page or `make run` starts."""
    blocks = _blocks(page, "bash")
    start = next((block for block in blocks if block.rstrip().endswith(STARTS)), START)
    port = _free_port()
    environment = _environment(tmp_path, port)
    commands = "\n".join(block for block in blocks if block != start).replace(PORT, str(port))
    with _started(start, tmp_path, environment):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert '"status":"failed"' not in done.stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_runs_twice_in_one_folder(program: str, tmp_path: Path) -> None:
    """The second run finds the database of the first and prints the same."""
    outputs = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]


def test_the_readme_has_commands_and_a_program() -> None:
    readme = ROOT / "README.md"
    assert len(_blocks(readme, "bash")) == 3
    assert len(_blocks(readme, "python")) == 1
    assert not {language for language, _ in BLOCK.findall(readme.read_text("utf-8"))} - {
        "bash",
        "python",
    }
