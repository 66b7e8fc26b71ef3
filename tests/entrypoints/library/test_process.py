"""A client changes nothing global in its process; tested in separate processes."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program in an empty folder."""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    return ran


GLOBALS = """
import logging, signal, sys, threading, warnings
import structlog
import urllib3  # adds filters for its own warnings when it is imported

def state():
    return {
        "root": (logging.root.level, list(logging.root.handlers), logging.root.disabled),
        "dramatiq": logging.getLogger("dramatiq").level,
        "factory": logging.getLoggerClass(),
        "structlog": (structlog.is_configured(), repr(structlog.get_config())),
        "filters": list(warnings.filters),
        "showwarning": warnings.showwarning,
        "signals": [signal.getsignal(each) for each in sorted(signal.valid_signals())],
        "hooks": (sys.excepthook, threading.excepthook, sys.unraisablehook),
        "streams": (sys.stdout, sys.stderr),
    }

before = state()
import workbell

def fail(context, parameters):
    secret = "s3cret-local"
    context.log.info("tried")
    raise RuntimeError("broken")

workbell.task("test.fail", max_attempts=1)(fail)
with workbell.open("sqlite:///a.db", workers=2) as client:
    opened = state()
    job = client.jobs.enqueue("test.fail")
    client.run_until_idle()
    print(client.jobs.get(job.id).status)
    used = state()
closed = state()
for name in before:
    for after in (opened, used, closed):
        assert after[name] == before[name], (name, before[name], after[name])
"""


def test_a_client_changes_no_logging_warnings_signals_or_hooks(tmp_path: Path) -> None:
    ran = run(GLOBALS, tmp_path)
    assert ran.stdout == "failed\n"
    assert "s3cret-local" not in ran.stderr


LOSS = """
import workbell
from workbell.adapters.logs import get_logger

def work(secret):
    raise RuntimeError("broken")

with workbell.open("sqlite:///a.db"):
    try:
        work("s3cret-local")
    except RuntimeError as error:
        get_logger("x").error("attempt_lost", job=7, share="5%", exc_info=error)
    get_logger("x").info("not_shown")
"""


def test_problems_go_to_stderr_without_values_of_variables(tmp_path: Path) -> None:
    """The standard logger without a handler shows warnings and errors."""
    ran = run(LOSS, tmp_path)
    assert ran.stdout == ""
    assert ran.stderr.startswith("attempt_lost job=7 share=5%\nTraceback")
    assert ran.stderr.endswith("RuntimeError: broken\n")
    assert "│" not in ran.stderr and "not_shown" not in ran.stderr


STANDARD = """
import logging, sys
logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
import workbell
with workbell.open("sqlite:///a.db"):
    pass
"""


def test_a_program_sees_events_by_the_standard_logger(tmp_path: Path) -> None:
    ran = run(STANDARD, tmp_path)
    assert "INFO workbell schema_migrated from_revision=None to_revision=0001" in ran.stderr
    assert ran.stdout == ""


STRUCTLOG = """
import workbell, structlog, sys
with workbell.open("sqlite:///a.db"):
    pass
structlog.configure(
    processors=[structlog.processors.JSONRenderer(sort_keys=True)],
    logger_factory=structlog.PrintLoggerFactory(sys.stderr),
)
with workbell.open("sqlite:///b.db"):
    pass
"""


def test_a_program_sees_events_by_the_structlog_that_it_configured(tmp_path: Path) -> None:
    """Also if it did so after Workbell was imported."""
    ran = run(STRUCTLOG, tmp_path)
    (line,) = ran.stderr.splitlines()
    assert line.startswith("{") and '"event": "schema_migrated"' in line
    assert ran.stdout == ""
