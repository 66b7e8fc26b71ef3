"""Task bodies that run in child processes."""

import ctypes
import io
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

from attrs import frozen

import workbell

Parameters = dict[str, Any]
DATABASE_MODULES = {"sqlalchemy", "sqlite3", "psycopg", "pymysql", "redis", "alembic", "dramatiq"}


@frozen
class Greeting:
    """Parameters of `greet`."""

    name: str
    times: int = 1


def greet(_: workbell.TaskContext, parameters: Greeting) -> str:
    """Return a text for parameters of a class."""
    return "hello " * parameters.times + parameters.name


def describe(context: workbell.TaskContext, _: Parameters) -> Parameters:
    """Return what the context says, and what the process is."""
    return {
        "job": context.job_id,
        "attempt": context.attempt,
        "owner": context.owner,
        "schedule": context.schedule_id,
        "tick": context.tick,
        "key": context.idempotency_key,
        "now": context.now(),
        "pid": os.getpid(),
        "group": os.getpgid(0),
        "nice": os.nice(0),
        "threads": len([*Path("/proc/self/task").iterdir()]),
        "database": sorted(_database_modules()),
        "files": _open_files(),
    }


def _database_modules() -> set[str]:
    found = DATABASE_MODULES & {name.partition(".")[0] for name in sys.modules}
    return found - {"sqlite3"} if "coverage" in sys.modules else found  # coverage stores in SQLite


def _open_files() -> list[str]:
    files = []
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the folder itself
            files.append(str(each.readlink()))
    return [each for each in files if not each.endswith("/fd")]


def report(context: workbell.TaskContext, parameters: Parameters) -> str:
    """Report progress, log lines and artifacts."""
    context.progress(1, 2, "half")
    context.log.debug("line", n=1)
    context.log.info("line", n=2)
    context.log.warning("odd", huge=2**80, bad="\ud800", thing=object)
    context.log.error("line", n=4)
    context.artifact("bytes.bin", b"abc", "text/plain")
    context.artifact("stream.bin", io.BytesIO(b"x" * 100_000))
    path = Path(parameters["folder"]) / "file.txt"
    path.write_text("from a path")
    context.artifact("path.txt", path)
    return "reported"


def bad_artifact(context: workbell.TaskContext, _: Parameters) -> None:
    """Store a file with a name that is refused."""
    context.artifact("../etc/passwd", b"")


def flood(context: workbell.TaskContext, parameters: Parameters) -> int:
    """Log many lines."""
    for n in range(parameters["lines"]):
        context.log.info("line", n=n, text="x" * 100)
    return int(parameters["lines"])


def large(_: workbell.TaskContext, parameters: Parameters) -> str:
    """Return a text of a size."""
    return "x" * int(parameters["size"])


def fail(_: workbell.TaskContext, parameters: Parameters) -> None:
    """Raise an error."""
    secret = "a local variable"  # noqa: F841 - must not be in a traceback
    errors: dict[str, BaseException] = {
        "ValueError": ValueError("no\0 text \ud800"),
        "Invalid": workbell.Invalid("wrong"),
        "NotFound": workbell.NotFound("gone"),
        "Unavailable": workbell.Unavailable("away", retry_after=70),
        "Throttled": workbell.Throttled(30),
        "Snooze": workbell.Snooze(40),
        "SystemExit": SystemExit(3),
        "KeyboardInterrupt": KeyboardInterrupt(),
        "object": TypeError(object()),
    }
    raise errors[parameters["error"]]


def return_object(_: workbell.TaskContext, __: Parameters) -> object:
    """Return what JSON has no form for."""
    return object()


def die(_: workbell.TaskContext, parameters: Parameters) -> None:
    """End the process."""
    how = parameters["how"]
    if how == "exit":
        os._exit(3)
    if how == "segfault":
        ctypes.string_at(0)
    os.kill(os.getpid(), getattr(signal, how))


def allocate(_: workbell.TaskContext, parameters: Parameters) -> int:
    """Allocate memory."""
    return len(bytearray(parameters["mib"] * 1024 * 1024))


def compute(_: workbell.TaskContext, parameters: Parameters) -> int:
    """Use processor time."""
    until = time.monotonic() + parameters["seconds"]
    n = 0
    while time.monotonic() < until:
        n += 1
    return n


def hold_interpreter(_: workbell.TaskContext, parameters: Parameters) -> int:
    """Compute without releasing the interpreter for many seconds."""
    _note(parameters, os.getpid())
    return sum(1 for _ in iter(lambda: pow(3, 2**27, 2**4000 + 1), 0))


def sleep(_: workbell.TaskContext, parameters: Parameters) -> str:
    """Sleep, without any check."""
    _note(parameters, os.getpid())
    time.sleep(parameters.get("seconds", 60))
    return "slept"


def sleep_in_program(_: workbell.TaskContext, parameters: Parameters) -> None:
    """Wait for another program."""
    program = subprocess.Popen(["sleep", "60"])
    _note(parameters, os.getpid(), program.pid)
    program.wait()


def open_fifo(_: workbell.TaskContext, parameters: Parameters) -> None:
    """Open a FIFO that has no writer."""
    _note(parameters, os.getpid())
    Path(parameters["fifo"]).read_bytes()


def clean_up(context: workbell.TaskContext, parameters: Parameters) -> None:
    """Log which stop has arrived, and pass it on."""
    _note(parameters, os.getpid())
    try:
        time.sleep(60)
    except workbell.Interrupted as stop:
        Path(parameters["pids"] + ".stop").write_text(type(stop).__name__)
        raise


def stubborn(_: workbell.TaskContext, parameters: Parameters) -> None:
    """Ignore every stop."""
    _note(parameters, os.getpid())
    while True:
        with suppress(workbell.Interrupted):
            time.sleep(60)


def log_later(context: workbell.TaskContext, parameters: Parameters) -> None:
    """Leave a thread that logs when the attempt has ended."""

    def log() -> None:
        wait = Path(parameters["pids"])
        while not wait.exists():
            time.sleep(0.01)
        try:
            context.log.info("late")
        except RuntimeError as error:
            Path(f"{wait}.error").write_text(str(error))

    Thread(target=log, daemon=True).start()


def fork(_: workbell.TaskContext, parameters: Parameters) -> str:
    """Fork, and return in both processes."""
    pid = os.fork()
    if pid:
        status = os.waitpid(pid, 0)[1]
        _note(parameters, os.waitstatus_to_exitcode(status))
    return "parent" if pid else "child"


def log_in_threads(context: workbell.TaskContext, parameters: Parameters) -> None:
    """Log from several threads while the main thread sleeps."""

    def log() -> None:
        for n in range(500):
            context.log.info("line", n=n)

    for thread in [Thread(target=log, daemon=True) for _ in range(4)]:
        thread.start()
    _note(parameters, os.getpid())
    time.sleep(60)


def _note(parameters: Parameters, *pids: int) -> None:
    """Write process ids to a file, in one step."""
    if path := parameters.get("pids"):
        draft = Path(path + ".draft")
        draft.write_text(" ".join(map(str, pids)))
        draft.rename(path)
