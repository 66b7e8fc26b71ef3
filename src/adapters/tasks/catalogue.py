"""The catalogue of built-in tasks, in the order in which lists show them."""

from collections.abc import Sequence
from pathlib import Path

from ...domain.tasks import Task
from ...ports.files import FileStore
from ...ports.jobs import WorkTx
from ...ports.mail import Mailer
from ...ports.store import Store
from .backup import Backup
from .cleanup import Cleaner
from .data import DataProcessor
from .echo import echo_task
from .email import EmailSender
from .folders import Folders
from .reporting import Reporter


def built_in(
    *,
    store: Store[WorkTx],
    files: FileStore,
    mailer: Mailer,
    input_dirs: Sequence[Path] = (),
    backup_dirs: Sequence[Path] = (),
) -> Sequence[Task]:
    """
    Return the built-in tasks: source A's five in its order, then echo.

    Data and backup sources come from `input_dirs`, backups go to
    `backup_dirs`; without folders these tasks refuse every path.
    """
    sources = Folders("INPUT_DIRS", tuple(input_dirs))
    destinations = Folders("BACKUP_DIRS", tuple(backup_dirs))
    return (
        EmailSender(mailer).task(),
        DataProcessor(sources).task(),
        Reporter(store).task(),
        Backup(sources, destinations).task(),
        Cleaner(store, files).task(),
        echo_task(),
    )
