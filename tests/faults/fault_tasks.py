"""Tasks of the fault tests; they record their runs outside the database."""

import os
import signal
import time
from typing import Any

import workbell

_NOTES = os.open(os.environ["FAULT_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def note(word: str, context: workbell.TaskContext) -> None:
    """Append one line, a begin or an end, by a single write: lines stay whole."""
    os.write(_NOTES, f"{word} {context.job_id} {context.attempt} {time.time():.3f}\n".encode())


@workbell.task("fault.work", max_attempts=20, timeout_seconds=30)
def work(context: workbell.TaskContext, parameters: dict[str, Any]) -> dict[str, Any]:
    """Work for some milliseconds and store a file."""
    note("began", context)
    time.sleep(parameters.get("ms", 10) / 1000)
    context.progress(1, 2)
    context.log.info("working", n=parameters.get("n"))
    if parameters.get("file"):
        context.artifact("work.bin", bytes(str(parameters), "ascii") * 500)
    note("ended", context)
    return {"n": parameters.get("n")}


@workbell.task("fault.batch", max_attempts=20, batch=True)
def batch(context: workbell.TaskContext, parameters: dict[str, Any]) -> dict[str, Any]:
    """Record begin and end, as a batch task."""
    note("began", context)
    note("ended", context)
    return {"n": parameters.get("n")}


@workbell.task("fault.poison", max_attempts=3)
def poison(context: workbell.TaskContext, _: dict[str, Any]) -> None:
    """Kill the process that runs it."""
    note("began", context)
    os.kill(os.getpid(), signal.SIGKILL)


@workbell.task("fault.patient", max_attempts=20, timeout_seconds=60)
def patient(context: workbell.TaskContext, parameters: dict[str, Any]) -> None:
    """Wait, and stop when the job is cancelled."""
    note("began", context)
    until = time.monotonic() + parameters.get("ms", 1000) / 1000
    while time.monotonic() < until:
        context.check()
        time.sleep(0.01)
    note("ended", context)
