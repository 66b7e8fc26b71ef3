"""Database Cleanup: old rows of history, deleted in batches."""

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
    """Which history to delete, and from what age on."""

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
class Cleaner:
    """Deletes old history; superusers only."""

    store: Store[JobsTx]
    files: FileStore
    batch: int = BATCH

    def check(self, actor: Actor, parameters: DatabaseCleanup) -> None:
        """
        Refuse other tables, and anybody but a superuser.

        Raises:
            NotAllowed: Who asks is no superuser.
            Invalid: The table is not one that may be cleaned up.
        """
        if not actor.is_super_user:
            raise NotAllowed("Only superusers may clean up the database.")
        if parameters.table_name not in TABLES:
            raise Invalid.field("table_name", f"table_name must be one of: {', '.join(TABLES)}.")

    def run(self, context: TaskContext, parameters: DatabaseCleanup) -> dict[str, Any]:
        """
        Delete what ended before the given number of days.

        Raises:
            NotAllowed: The owner is no superuser, or not any more.
            Invalid: The table is not one that may be cleaned up.
            Unavailable: The store or the files do not answer.
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
                    # before the commit: a crash leaves rows to be pruned again, but never a file
                    for key in filter(None, keys):
                        self.files.delete(key)
                if not keys:
                    break
                deleted += len(keys)
                context.progress(deleted, note="records deleted")
        context.log.info("cleaned up", table=parameters.table_name, records=deleted)
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
            description="Deletes old rows of history. Superusers only.",
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
                raise NotAllowed("The owner of the job is not a user any more.") from error
        if not user.is_active:
            raise NotAllowed("The owner of the job is not active any more.")
        return Actor.of(user)
