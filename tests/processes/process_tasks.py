"""Tasks of the processes under test."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import workbell


@workbell.task("touch")
def touch(context: workbell.TaskContext, parameters: Mapping[str, Any]) -> int:
    """Append the job id to a file."""
    with Path(parameters["file"]).open("a") as file:
        file.write(f"{context.job_id}\n")
    return context.attempt


@workbell.task("hold")
def hold(context: workbell.TaskContext, parameters: Mapping[str, Any]) -> str:
    """Signal the start by a file; run until another file appears or the job is cancelled."""
    Path(f"{parameters['file']}.held").touch()
    while not Path(parameters["file"]).exists():
        if parameters.get("cancellable", True):
            context.check()
        time.sleep(0.005)
    return "released"
