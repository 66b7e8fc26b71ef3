"""Tasks of the processes under test."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import workbell


@workbell.task("touch")
def touch(context: workbell.TaskContext, parameters: Mapping[str, Any]) -> int:
    """Note the run in a file of its own."""
    with Path(parameters["file"]).open("a") as file:
        file.write(f"{context.job_id}\n")
    return context.attempt


@workbell.task("hold")
def hold(context: workbell.TaskContext, parameters: Mapping[str, Any]) -> str:
    """Say that it runs; go on until a file appears, or until asked to stop."""
    Path(f"{parameters['file']}.held").touch()
    while not Path(parameters["file"]).exists():
        if parameters.get("heeds", True):
            context.check()
        time.sleep(0.005)
    return "let go"
