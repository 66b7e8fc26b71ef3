"""Database Cleanup: deletes old history in batches."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Any

from attrs import frozen

from workbell.domain.constraints import Constraints
from workbell.domain.errors import Invalid, NotAllowed, NotFound
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.user import SYSTEM_ID
from workbell.domain.jobs.job import ENDED
from workbell.domain.jobs.task import Task, TaskContext
from workbell.ports.delivery.repository import DeliveryTx
from workbell.ports.files import FileStore
from workbell.ports.store import Store

JOBS, DELIVERIES = "execution_logs", "deliveries"
TABLES = (JOBS, DELIVERIES)
BATCH = 500


@frozen(kw_only=True)
class DatabaseCleanup:
    """Parameters of Database Cleanup."""

    days_old: Annotated[
        int, Constraints(ge=0, le=3650, description="Rows that ended more days ago are deleted.")
    ]
    table_name: Annotated[
        str,
        Constraints(
            min_length=1,
            max_length=64,
            description=(
                "execution_logs: ended jobs with their attempts, logs and files; "
                "deliveries: ended deliveries with their attempts."
            ),
            example="execution_logs",
        ),
    ]


@frozen
class DatabaseCleaner:
    """Deletes old history; superusers only."""

    store: Store[DeliveryTx]
    files: FileStore
    batch: int = BATCH

    def check(self, actor: Actor, parameters: DatabaseCleanup) -> None:
        """Raise NotAllowed unless a superuser, Invalid for another table."""
        if not actor.is_super_user:
            raise NotAllowed("Only superusers may clean up the database.")
        if parameters.table_name not in TABLES:
            raise Invalid.field("table_name", f"table_name must be one of: {', '.join(TABLES)}.")

    def run(self, context: TaskContext, parameters: DatabaseCleanup) -> dict[str, Any]:
        """
        Delete rows that are more than `days_old` days old.

        Raises:
            NotAllowed: The owner is not an active superuser.
        """
        self.check(self._owner(context), parameters)
        before = context.now() - timedelta(days=parameters.days_old)
        is_of_jobs = parameters.table_name == JOBS
        deleted = 0
        for batch in self._prune_jobs(before) if is_of_jobs else self._prune_deliveries(before):
            deleted += batch
            context.progress(deleted, note="records deleted")
            context.check()
        context.log.info("database_cleaned_up", table=parameters.table_name, records=deleted)
        return {
            "table_name": parameters.table_name,
            "days_old": parameters.days_old,
            "records_deleted": deleted,
        }

    def _prune_jobs(self, before: datetime) -> Iterator[int]:
        """Delete jobs that ended before a time; yield the size of each batch."""
        for scheduled in (False, True):
            keys = None
            while keys is None or keys:
                with self.store.begin() as tx:
                    keys = (
                        tx.jobs.prune_scheduled(before, limit=self.batch)
                        if scheduled
                        else tx.jobs.prune(ENDED, before, limit=self.batch)
                    )
                    # before the commit: after a crash, rows are pruned again and no file is left
                    for key in filter(None, keys):
                        self.files.delete(key)
                yield len(keys)

    def _prune_deliveries(self, before: datetime) -> Iterator[int]:
        """Delete ended deliveries created before a time; yield the size of each batch."""
        batch = self.batch
        while batch == self.batch:
            with self.store.begin() as tx:
                batch = tx.deliveries.prune(before, limit=self.batch)
            yield batch

    def task(self) -> Task:
        """Return the task."""
        return Task(
            key="database.cleanup",
            name="Database Cleanup",
            description="Deletes old history. Superusers only.",
            parameters=DatabaseCleanup,
            body=self.run,
            check=self.check,
            timeout_seconds=3600,
        )

    def _owner(self, context: TaskContext) -> Actor:
        if context.owner == SYSTEM_ID:
            return Actor(user_id=SYSTEM_ID, is_super_user=True)
        with self.store.view() as tx:
            try:
                user = tx.users.get(context.owner)
            except NotFound as error:
                raise NotAllowed("The owner of the job is no longer a user.") from error
        if not user.is_active:
            raise NotAllowed("The owner of the job is no longer active.")
        return Actor.of(user)
