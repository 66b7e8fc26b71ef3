"""Child processes of an application; none is started before the first job."""

from workbell.adapters.child_processes.child_process import ForkServer
from workbell.adapters.child_processes.metrics import ChildMetrics
from workbell.adapters.child_processes.pool import CHILD_EXIT_MARGIN, ChildLimits, ChildPool
from workbell.entrypoints.bootstrap.backends import Backends


def make_children(backends: Backends) -> ChildPool:
    """Return the pool of child processes, closed with the application."""
    settings = backends.settings
    server = ForkServer(
        modules=settings.tasks,
        nice=settings.child_nice,
        idle_seconds=settings.child_idle_seconds + CHILD_EXIT_MARGIN,
        folder=backends.folder / "children",
    )
    limits = ChildLimits(
        jobs=settings.child_jobs,
        idle_seconds=settings.child_idle_seconds,
        memory_mib=settings.child_memory_mib,
        kill_grace_seconds=settings.kill_grace_seconds,
    )
    pool = ChildPool(server, limits, ChildMetrics(backends.metrics))
    backends.closing.callback(pool.close)
    return pool
