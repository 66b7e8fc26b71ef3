"""Tasks of the fault tests; they record runs in a file, not in the database."""

import os
import signal
import subprocess
import time
from typing import Any

import workbell

_NOTES = os.open(os.environ["FAULT_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def note(word: str, context: workbell.TaskContext) -> None:
    """Append a line, in one write: a body began or ended."""
    os.write(_NOTES, f"{word} {context.job_id} {context.attempt} {time.time():.3f}\n".encode())


@workbell.task("fault.work", max_attempts=20, timeout_seconds=30)
def work(context: workbell.TaskContext, parameters: dict[str, Any]) -> dict[str, Any]:
    """Work for some milliseconds and store an artifact."""
    note("began", context)
    time.sleep(parameters.get("ms", 10) / 1000)
    context.progress(1, 2)
    context.log.info("working", n=parameters.get("n"))
    if parameters.get("file"):
        context.artifact("work.bin", bytes(str(parameters), "ascii") * 500)
    note("ended", context)
    return {"n": parameters.get("n")}


@workbell.task("fault.isolated", max_attempts=50, timeout_seconds=30, isolation="process")
def isolated(context: workbell.TaskContext, parameters: dict[str, Any]) -> dict[str, Any]:
    """Work in a child process, in part by another program."""
    note("began", context)
    context.progress(1, 2)
    if parameters["n"] % 2:
        subprocess.run(["sleep", str(parameters["ms"] / 1000)], check=True)
    else:
        time.sleep(parameters["ms"] / 1000)
    context.log.info("working", n=parameters["n"])
    if parameters.get("file"):
        context.artifact("work.bin", bytes(str(parameters), "ascii") * 500)
    note("ended", context)
    return {"n": parameters["n"]}


@workbell.task("fault.batch", max_attempts=20, batch=True)
def batch(context: workbell.TaskContext, parameters: dict[str, Any]) -> dict[str, Any]:
    """Do nothing; outcomes are committed in batches."""
    note("began", context)
    note("ended", context)
    return {"n": parameters.get("n")}


@workbell.task("fault.poison", max_attempts=3)
def poison(context: workbell.TaskContext, _: dict[str, Any]) -> None:
    """Kill the worker process."""
    note("began", context)
    os.kill(os.getpid(), signal.SIGKILL)


@workbell.task("fault.patient", max_attempts=20, timeout_seconds=60)
def patient(context: workbell.TaskContext, parameters: dict[str, Any]) -> None:
    """Wait, and stop on cancellation."""
    note("began", context)
    until = time.monotonic() + parameters.get("ms", 1000) / 1000
    while time.monotonic() < until:
        context.check()
        time.sleep(0.01)
    note("ended", context)
