"""Forks of a process are detected, programs that it starts are none."""

import os
import subprocess
import sys

from workbell.adapters.fork_detection import end_if_forked, fork_count


def test_a_fork_ends_with_status_70() -> None:
    forks = fork_count()
    pid = os.fork()
    if not pid:
        end_if_forked(forks)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 70
    end_if_forked(forks)


def test_a_fork_may_use_connections_of_its_own() -> None:
    pid = os.fork()
    if not pid:
        end_if_forked(fork_count())
        os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3


def test_starting_a_program_is_no_fork() -> None:
    forks = fork_count()
    subprocess.run([sys.executable, "-c", ""], check=True)
    assert fork_count() == forks
