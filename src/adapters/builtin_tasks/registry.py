"""The catalogue of built-in tasks, in the order in which lists show them."""

from collections.abc import Sequence
from pathlib import Path

from workbell.adapters.builtin_tasks.allowed_folders import Folders
from workbell.adapters.builtin_tasks.data_processing import DataProcessor
from workbell.adapters.builtin_tasks.database_cleanup import Cleaner
from workbell.adapters.builtin_tasks.echo import echo_task
from workbell.adapters.builtin_tasks.file_backup import Backup
from workbell.adapters.builtin_tasks.report_generation import Reporter
from workbell.adapters.builtin_tasks.send_email import EmailSender
from workbell.domain.jobs.task import Task
from workbell.ports.files import FileStore
from workbell.ports.mail import Mailer
from workbell.ports.schedules.repository import SchedulesTx
from workbell.ports.store import Store


def built_in(
    *,
    store: Store[SchedulesTx],
    files: FileStore,
    mailer: Mailer,
    input_dirs: Sequence[Path] = (),
    backup_dirs: Sequence[Path] = (),
) -> Sequence[Task]:
    """
    Return the built-in tasks: InsightHub's five in its order, then echo.

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
