"""Detection of processes that user code has forked from this one."""

import os
import sys
from typing import Final, NoReturn

EXIT_FORKED: Final = 70

_forks = 0


def fork_count() -> int:
    """Return how many forks lie between this process and the import of the module."""
    return _forks


def end_if_forked(since: int) -> None:
    """End this process if it was forked after `fork_count()` returned `since`."""
    if _forks != since:
        _end()


def _count_fork() -> None:
    global _forks  # noqa: PLW0603 - one per process, like the process id
    _forks += 1


def _end() -> NoReturn:
    # not by an exception, which the body could catch, nor by sys.exit, which would flush
    # the buffers of the parent and run its exit functions
    message = f"workbell: ended process {os.getpid()}, a fork that uses its parent's connections\n"
    os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, message.encode())
    os._exit(EXIT_FORKED)


# `subprocess` does not call it, since it runs no Python code between fork and exec
os.register_at_fork(after_in_child=_count_fork)
