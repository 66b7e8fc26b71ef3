"""Sizes of tables and folders, for `workbell check`."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from workbell.adapters.sql.store import SqlStore
from workbell.domain.errors import WorkbellError

MANY_ROWS: Final = 1_000_000
MANY_FILES: Final = 10_000
LARGE_TABLES: Final = {
    "workbell_jobs": "shorten RETENTION_SUCCEEDED_DAYS or RETENTION_SCHEDULE_DAYS",
    "workbell_job_logs": "shorten RETENTION_SUCCEEDED_DAYS, or log less",
    "workbell_audit": "set RETENTION_AUDIT_DAYS",
    "workbell_events": "shorten RETENTION_EVENTS_DAYS",
    "workbell_sessions": "let programs use API keys instead of signing in",
    "workbell_concurrency_keys": "use fewer concurrency keys",
    "workbell_schedules": "delete unused schedules",
    "workbell_progress_entries": "delete unused goals",
}
"""Tables that grow, with what to do."""


def find_large_tables(store: SqlStore) -> Iterator[tuple[str, str]]:
    """Yield the names of tables with more than `MANY_ROWS` rows, and what to do."""
    for table, action in LARGE_TABLES.items():
        try:
            is_large = store.has_more_rows(table, MANY_ROWS)
        except WorkbellError:  # it took too long, or the table is missing
            continue
        if is_large:
            yield table, f"The table has more than {MANY_ROWS:,} rows: {action}."


def has_many_files(folder: Path) -> bool:
    """Whether a folder has more than `MANY_FILES` entries."""
    try:
        with os.scandir(folder) as entries:
            return next(islice(entries, MANY_FILES, None), None) is not None
    except OSError:
        return False
