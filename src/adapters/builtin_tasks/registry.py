"""The built-in tasks, in the order of lists."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from workbell.adapters.builtin_tasks.allowed_folders import Folders
from workbell.adapters.builtin_tasks.data_processing import DataProcessor
from workbell.adapters.builtin_tasks.database_cleanup import DatabaseCleaner
from workbell.adapters.builtin_tasks.echo import echo_task
from workbell.adapters.builtin_tasks.file_backup import FileBackups
from workbell.adapters.builtin_tasks.http_request import HttpRequester
from workbell.adapters.builtin_tasks.report_generation import ReportGenerator
from workbell.adapters.builtin_tasks.send_email import EmailSender
from workbell.domain.jobs.task import Task
from workbell.ports.delivery.repository import DeliveryTx
from workbell.ports.files import FileStore
from workbell.ports.mail import Mailer
from workbell.ports.schedules.repository import SchedulesTx
from workbell.ports.store import Store
from workbell.ports.webhook_client import WebhookClient


class BuiltInTasksTx(SchedulesTx, DeliveryTx, Protocol):
    """A transaction over what the built-in tasks read and delete."""


def built_in_tasks(
    *,
    store: Store[BuiltInTasksTx],
    files: FileStore,
    mailer: Mailer,
    webhook_client: WebhookClient,
    input_dirs: Sequence[Path] = (),
    backup_dirs: Sequence[Path] = (),
) -> Sequence[Task]:
    """
    Return the built-in tasks: InsightHub's five in its order, then the others.

    Tasks read files in `input_dirs` and write backups to `backup_dirs`; without
    these folders they refuse every path.
    """
    sources = Folders("INPUT_DIRS", tuple(input_dirs))
    destinations = Folders("BACKUP_DIRS", tuple(backup_dirs))
    return (
        EmailSender(mailer).task(),
        DataProcessor(sources).task(),
        ReportGenerator(store).task(),
        FileBackups(sources, destinations).task(),
        DatabaseCleaner(store, files).task(),
        echo_task(),
        HttpRequester(webhook_client).task(),
    )
