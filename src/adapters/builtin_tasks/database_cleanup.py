"""Database Cleanup: deletes old history in batches."""

from datetime import timedelta
from typing import Annotated, Any

from attrs import frozen

from workbell.domain.constraints import Constraints
from workbell.domain.errors import Invalid, NotAllowed, NotFound
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.user import SYSTEM_ID
from workbell.domain.jobs.job import ENDED
from workbell.domain.jobs.task import Task, TaskContext
from workbell.ports.files import FileStore
from workbell.ports.jobs.repository import JobsTx
from workbell.ports.store import Store

TABLES = ("execution_logs",)
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
            description="execution_logs: ended jobs with their attempts, logs and files.",
            example="execution_logs",
        ),
    ]


@frozen
class DatabaseCleaner:
    """Deletes old history; superusers only."""

    store: Store[JobsTx]
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
        Delete jobs that ended more than `days_old` days ago.

        Raises:
            NotAllowed: The owner is not an active superuser.
        """
        self.check(self._owner(context), parameters)
        before = context.now() - timedelta(days=parameters.days_old)
        deleted = 0
        for scheduled in (False, True):
            while True:
                context.check()
                with self.store.begin() as tx:
                    keys = (
                        tx.jobs.prune_scheduled(before, limit=self.batch)
                        if scheduled
                        else tx.jobs.prune(ENDED, before, limit=self.batch)
                    )
                    # before the commit: after a crash, rows are pruned again and no file is left
                    for key in filter(None, keys):
                        self.files.delete(key)
                if not keys:
                    break
                deleted += len(keys)
                context.progress(deleted, note="records deleted")
        context.log.info("database_cleaned_up", table=parameters.table_name, records=deleted)
        return {
            "table_name": parameters.table_name,
            "days_old": parameters.days_old,
            "records_deleted": deleted,
        }

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
