"""A child process: runs the jobs that its worker sends, one at a time."""

import os
import pickle
import resource
from collections.abc import Generator
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from socket import socket
from typing import Final

from msgspec import json
from msgspec.msgpack import Decoder

from workbell.adapters.child_processes.channel import FrameChannel, FrameError
from workbell.adapters.child_processes.child_context import ChildContext, WorkerLink
from workbell.adapters.child_processes.failures import to_frame
from workbell.adapters.child_processes.frames import (
    FailureFrame,
    FromWorker,
    JobFrame,
    ResultFrame,
)
from workbell.adapters.fork_detection import end_if_forked, fork_count
from workbell.adapters.serialization.json_codec import dumps
from workbell.adapters.serialization.serializer import JsonSerializer
from workbell.domain.errors import Invalid
from workbell.domain.jobs.job import MAX_JSON_BYTES
from workbell.domain.jobs.task import ResultForHook
from workbell.services.jobs.failures import call_task

_MIB: Final = 1024 * 1024
_STATUS: Final = Path("/proc/self/statm")
_SERIALIZER: Final = JsonSerializer()
_DECODER: Final[Decoder[FromWorker]] = Decoder(FromWorker)


def serve_jobs(connection: socket, idle_seconds: float) -> None:
    """Run jobs until the worker stops this child, or sends none for a time."""
    link = WorkerLink(FrameChannel(connection, _DECODER))
    link.install_signal_handler()
    address_space = _address_space()
    while (job := link.next_job(idle_seconds)) is not None:
        with _limits(job, address_space):
            answer = _run(job, link)
        try:
            link.deliver(answer)
        except FrameError:
            link.deliver(to_frame(_too_large()))
        if link.stop is not None or (isinstance(answer, FailureFrame) and answer.is_last):
            return


def _run(job: JobFrame, link: WorkerLink) -> ResultFrame | FailureFrame:
    forks = fork_count()
    try:
        body, parameters_class = pickle.loads(job.code)  # noqa: S301 - from our own worker
        parameters = json.decode(job.parameters)
        if parameters_class is not None:
            parameters = _SERIALIZER.structure(parameters, parameters_class)
        try:
            link.job = job
            link.check(job)
            result = call_task(body, ChildContext(job, link), parameters)
        finally:
            link.job = None
        end_if_forked(forks)
        return _result_frame(result)
    except BaseException as error:  # noqa: BLE001 - also SystemExit, and what a signal raises
        link.job = None
        end_if_forked(forks)
        failure = to_frame(error)
        # libraries rarely leave their state as it was
        failure.is_last = isinstance(error, MemoryError)
        return failure


def _result_frame(result: object) -> ResultFrame:
    if isinstance(result, ResultForHook):
        raise TypeError("A task with isolation='process' cannot return ResultForHook.")
    value = dumps(_SERIALIZER.unstructure(result))
    if len(value) > MAX_JSON_BYTES:
        raise _too_large()
    return ResultFrame(value)


def _too_large() -> Invalid:
    return Invalid(f"The result is larger than {MAX_JSON_BYTES} bytes; store it as an artifact.")


@contextmanager
def _limits(job: JobFrame, address_space: int) -> Generator[None]:
    """
    Limit address space and processor time during a job.

    Only soft limits: a hard one could not be raised for the next job. At the soft
    limit of processor time the kernel sends SIGXCPU, which ends the child.
    """
    limits: dict[int, int] = {}
    if job.memory_mib:
        limits[resource.RLIMIT_AS] = address_space + job.memory_mib * _MIB
    if job.cpu_seconds is not None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        limits[resource.RLIMIT_CPU] = ceil(used.ru_utime + used.ru_stime) + job.cpu_seconds
    before = {limit: resource.getrlimit(limit) for limit in limits}
    for limit, soft in limits.items():
        hard = before[limit][1]
        is_bounded = hard != resource.RLIM_INFINITY
        resource.setrlimit(limit, (min(soft, hard) if is_bounded else soft, hard))
    try:
        yield
    finally:
        for limit, values in before.items():
            resource.setrlimit(limit, values)


def _address_space() -> int:
    """Return the address space of this process in bytes; 0 if the system does not say."""
    try:
        pages = int(_STATUS.read_text().partition(" ")[0])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
