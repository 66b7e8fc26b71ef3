"""Tasks for the fault tests: short, with an artifact, and now and then failing."""

import time
from typing import Any

import workbell


@workbell.task("fault.work", max_attempts=20, timeout_seconds=30)
def work(context: workbell.TaskContext, parameters: dict[str, Any]) -> dict[str, Any]:
    """Work for some milliseconds and keep a file."""
    time.sleep(parameters.get("ms", 10) / 1000)
    context.progress(1, 2)
    context.log.info("working", n=parameters.get("n"))
    context.artifact("work.bin", bytes(str(parameters), "ascii") * 500)
    return {"n": parameters.get("n")}


@workbell.task("fault.batch", max_attempts=20, batch=True)
def batch(_: workbell.TaskContext, parameters: dict[str, Any]) -> dict[str, Any]:
    """Do next to nothing, in company."""
    return {"n": parameters.get("n")}
