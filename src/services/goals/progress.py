"""Use cases of progress entries: log, list, edit, delete, export."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

from attrs import frozen

from workbell.domain.constraints import MAX_TEXT, NOT_BLANK, Constraints, Instant
from workbell.domain.cron.time_zones import load_zone
from workbell.domain.errors import Invalid
from workbell.domain.goals.goal import Goal
from workbell.domain.goals.progress_entry import ProgressEntry, TimeEntry, whole_seconds
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import Action, check
from workbell.domain.identity.user import UserId
from workbell.domain.validation import check_request
from workbell.ports.goals.repository import EntryFilter, ExportRow, GoalsTx
from workbell.ports.serialization import Serializer
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.audit.entries import (
    audit_command,
    changed_values,
    created_values,
    deleted_values,
)
from workbell.services.schedules.requests import ZoneName
from workbell.services.transaction_retry import retry_on_contention

Note = Annotated[
    str,
    Constraints(
        min_length=1,
        max_length=MAX_TEXT,
        pattern=NOT_BLANK,
        hint="must not be blank",
        example="Read two chapters",
    ),
]
CHUNK = 500


@frozen(kw_only=True)
class NewProgressEntry:
    """
    Time to log: a duration, or a past span.

    `total_hours` is the planned time, by default the logged time. `time_zone`
    decides the local day, by default the user's zone.
    """

    progress: Note
    logged_hours: timedelta | None = None
    total_hours: timedelta | None = None
    started_at: Instant | None = None
    ended_at: Instant | None = None
    time_zone: ZoneName | None = None


@frozen(kw_only=True)
class ProgressEntryChange:
    """Editable fields of an entry; the start of a span is fixed."""

    progress: Annotated[str, Constraints(max_length=MAX_TEXT)]
    logged_hours: timedelta
    total_hours: timedelta

    @classmethod
    def of(cls, entry: ProgressEntry) -> "ProgressEntryChange":
        """Return an entry's current fields, to merge a change into."""
        return cls(
            progress=entry.note,
            logged_hours=timedelta(seconds=entry.logged_seconds),
            total_hours=timedelta(seconds=entry.total_seconds),
        )


@frozen(kw_only=True)
class EntryPage:
    """
    A page of entries.

    Attributes:
        total: How many entries match, counting up to `COUNT_CAP` + 1.
        exceeds_window: Only the newest `SEARCH_WINDOW` entries were searched, and there
            are older ones.
    """

    entries: Sequence[ProgressEntry]
    total: int
    exceeds_window: bool = False


@frozen(kw_only=True)
class ProgressService:
    """
    Logs, lists, edits, deletes and exports the actor's progress entries.

    Methods raise `NotFound` if the actor has no such goal or entry.
    """

    store: Store[GoalsTx]
    clock: Clock
    serializer: Serializer

    @retry_on_contention
    def log(self, actor: Actor, goal_number: int, new: NewProgressEntry) -> ProgressEntry:
        """
        Log time for one of the actor's goals.

        Raises:
            Invalid: A field is wrong, or the span overlaps another.
            GoalClosed: The goal is archived.
        """
        check(actor, Action.USE_GOALS, owner=actor.user_id)
        check_request(new)
        now = self.clock.now()
        zone = new.time_zone or actor.time_zone
        load_zone(zone)
        time = TimeEntry.of(new.logged_hours, new.total_hours, new.started_at, new.ended_at, now)
        with self.store.begin() as tx:
            goal = lock_goal(tx, actor.user_id, goal_number)
            goal.check_progress()
            if time.started_at is not None:
                ends = time.started_at + timedelta(seconds=time.logged)
                check_span_is_free(tx, actor.user_id, time.started_at, ends, "started_at")
            entry = insert_entry(tx, goal, time, new.progress, zone, now)
            audit(tx, actor, "CREATE", entry, now, created_values(audited_values(entry)))
        return entry

    def get(self, actor: Actor, goal_number: int, number: int) -> ProgressEntry:
        """Return one of the actor's entries."""
        with self.store.view() as tx:
            goal = tx.goals.get(actor.user_id, goal_number)
            return tx.entries.get(actor.user_id, goal.id, number)

    def find(
        self, actor: Actor, filters: EntryFilter, ordering: Sequence[str], offset: int, limit: int
    ) -> EntryPage:
        """Return a page of the actor's entries."""
        owner = actor.user_id
        with self.store.view() as tx:
            return EntryPage(
                total=tx.entries.count(owner, filters, ordering=ordering),
                entries=tx.entries.find(
                    owner, filters, ordering=ordering, offset=offset, limit=limit
                ),
                exceeds_window=filters.needs_window(ordering)
                and tx.entries.exceeds_window(owner, filters),
            )

    @retry_on_contention
    def edit(
        self, actor: Actor, goal_number: int, number: int, updates: Mapping[str, Any]
    ) -> ProgressEntry:  # fmt: skip
        """Change the given fields; raises Invalid, also for an overlap."""
        check(actor, Action.USE_GOALS, owner=actor.user_id)
        now = self.clock.now()
        with self.store.begin() as tx:
            goal = lock_goal(tx, actor.user_id, goal_number)
            before = tx.entries.get(actor.user_id, goal.id, number)
            after, changes = self._merge(before, updates, now)
            _check_extension(tx, before, after)
            tx.entries.replace(after)
            tx.goals.replace(
                goal.with_time(
                    after.logged_seconds - before.logged_seconds,
                    after.total_seconds - before.total_seconds,
                )
            )
            audit(tx, actor, "UPDATE", after, now, changes)
        return after

    @retry_on_contention
    def delete(self, actor: Actor, goal_number: int, number: int) -> None:
        """Delete an entry; its number is not reused."""
        check(actor, Action.USE_GOALS, owner=actor.user_id)
        now = self.clock.now()
        with self.store.begin() as tx:
            goal = lock_goal(tx, actor.user_id, goal_number)
            entry = tx.entries.get(actor.user_id, goal.id, number)
            tx.entries.delete(entry)
            tx.goals.replace(goal.with_time(-entry.logged_seconds, -entry.total_seconds))
            audit(tx, actor, "DELETE", entry, now, deleted_values(audited_values(entry)))

    def export(self, actor: Actor) -> Iterator[ExportRow]:
        """Yield all of the actor's entries, in order of creation."""
        after = None
        while True:
            with self.store.view() as tx:
                rows = tx.entries.export(actor.user_id, after=after, limit=CHUNK)
            yield from rows
            if len(rows) < CHUNK:
                return
            after = rows[-1].entry

    def _merge(
        self, before: ProgressEntry, updates: Mapping[str, Any], now: datetime
    ) -> tuple[ProgressEntry, dict[str, Any]]:
        """Return the edited entry, and the changes for the audit entry."""
        old = self.serializer.unstructure(ProgressEntryChange.of(before))
        request = self.serializer.structure({**old, **updates}, ProgressEntryChange)
        new = self.serializer.unstructure(request)
        after = before.edited(
            request.progress,
            whole_seconds(request.logged_hours, "logged_hours"),
            whole_seconds(request.total_hours, "total_hours"),
            now,
        )
        return after, changed_values(old, new)


def lock_goal(tx: GoalsTx, owner: UserId, number: int) -> Goal:
    """Lock a user's ledger, increment its revision, and lock one of the goals."""
    tx.ledgers.replace(tx.ledgers.lock(owner).changed())
    return tx.goals.get_for_update(owner, number)


def insert_entry(
    tx: GoalsTx, goal: Goal, time: TimeEntry, note: str, zone: str, now: datetime
) -> ProgressEntry:  # fmt: skip
    """Insert time as the next entry of a locked goal; return it."""
    goal = goal.with_entry(time.logged, time.total, now)
    tx.goals.replace(goal)
    return tx.entries.add(
        time.entry(goal.owner, goal.id, goal.number, goal.last_entry, note, zone, now)
    )


def check_span_is_free(
    tx: GoalsTx,
    owner: UserId,
    start: datetime,
    end: datetime,
    field: str,
    except_entry: ProgressEntry | None = None,
) -> None:
    """Raise Invalid if a span overlaps another entry or the running timer."""
    last = tx.entries.latest_before(owner, end, except_id=except_entry.id if except_entry else None)
    if last is not None and last.ended_at is not None and last.ended_at > start:
        overlap = f"overlaps entry {last.number} of goal {last.goal_number}"
        raise Invalid.field(field, f"{field} {overlap}")
    timer = tx.timers.get(owner)
    if timer is not None and timer.started_at < end:
        raise Invalid.field(field, f"{field} overlaps the running timer")


def _check_extension(tx: GoalsTx, before: ProgressEntry, after: ProgressEntry) -> None:
    """Check the new span of an entry that was made longer."""
    start, end, was = after.started_at, after.ended_at, before.ended_at
    if start is not None and end is not None and was is not None and end > was:
        check_span_is_free(tx, after.owner, start, end, "logged_hours", except_entry=before)


def audited_values(entry: ProgressEntry) -> dict[str, Any]:
    """Return the fields that the audit entries of a new or deleted entry show."""
    return {
        "goal_num": entry.goal_number,
        "progress_num": entry.number,
        "progress": entry.note,
        "logged_seconds": entry.logged_seconds,
        "total_seconds": entry.total_seconds,
    }


def audit(
    tx: GoalsTx,
    actor: Actor,
    action: str,
    entry: ProgressEntry,
    now: datetime,
    changes: Mapping[str, Any],
) -> None:
    """Store an audit entry for a progress entry."""
    audit_command(tx.audit, actor, action, "progress", entry.id, now, changes)
