"""Views and lists of schedules."""

from typing import Any

import pytest

from tests.contract.factories import (
    ALICE,
    BOB,
    NOON,
    AnyStore,
    a_definition,
    a_job,
    a_schedule,
    a_user,
    after,
    claim,
    ended,
    ids,
    keep,
    running,
    write,
)
from workbell.domain import constraints
from workbell.domain.cron.rule import CronRule
from workbell.domain.identity.actor import ALL_OWNERS, Scope
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.attempt import Outcome
from workbell.domain.jobs.job import JobState, Status
from workbell.domain.schedules.schedule import Schedule
from workbell.ports.schedules.views import ListedSchedule, ScheduleFilter, ScheduleView


def plan(store: AnyStore, *schedules: Schedule) -> list[Schedule]:
    """Add schedules in one transaction."""
    with store.begin() as tx:
        return [tx.schedules.add(schedule) for schedule in schedules]


def found(store: AnyStore, filters: ScheduleFilter | None = None, **ask: Any) -> list[str]:
    with store.view() as tx:
        filters = filters or ScheduleFilter()
        views = tx.schedules.find(ALL_OWNERS, filters, **ask)
        total = tx.schedules.count(ALL_OWNERS, filters)
        listed = [ListedSchedule.from_view(view) for view in views]
        assert tx.schedules.list_page(ALL_OWNERS, filters, **ask) == (listed, total, False)
        if not ask:
            assert total == len(views)
        return [view.schedule.name for view in views]


# shown


def show(store: AnyStore, schedule: Schedule) -> ScheduleView:
    """Return a schedule as it is shown, which a list shows the same."""
    with store.view() as tx:
        view = tx.schedules.get_view(ALL_OWNERS, schedule.id)
        assert view in tx.schedules.find(ALL_OWNERS, ScheduleFilter())
    return view


def test_a_schedule_is_shown_with_its_owner_and_task(store: AnyStore) -> None:
    with store.begin() as tx:
        owner = tx.users.add(a_user(first_name="Ada", last_name="Lovelace"))
        bare = tx.users.add(a_user("bare"))
        task = tx.definitions.add(a_definition(description="Says it again"))
    known, named, unknown = plan(
        store,
        a_schedule(owner=owner.id),
        a_schedule(owner=bare.id),
        a_schedule(owner=UserId(99)),
    )
    view = show(store, known)
    assert (view.owner_username, view.owner_full_name) == ("alice", "Ada Lovelace")
    assert (view.task_id, view.task_name) == (task.id, "Echo")
    assert view.task_description == "Says it again"
    assert (view.last_run_time, view.last_status) == (None, None)
    assert show(store, named).owner_full_name == "bare"
    assert (show(store, unknown).owner_username, show(store, unknown).owner_full_name) == ("", "")


def test_the_last_run_is_the_newest_job_that_was_started(store: AnyStore) -> None:
    (schedule,) = plan(store, a_schedule())
    own = {"schedule_id": schedule.id}
    assert show(store, schedule).last_run_time is None
    first, second = running(store, a_job(**own), a_job(**own), now=after(1))
    write(store, ended(second, now=after(2)))
    keep(store, a_job(**own, due_at=after(99)), a_job(schedule_id=77))
    keep(store, a_job(**own, state=JobState.SKIPPED, ended_at=NOON))
    assert show(store, schedule).last_run_time == after(1)
    assert show(store, schedule).last_status is Status.SUCCEEDED
    write(store, ended(first, now=after(2)))
    keep(store, a_job(**own, due_at=after(3)), now=after(3))
    (third,) = claim(store, now=after(4), limit=9)[-1:]
    assert show(store, schedule).last_run_time == after(4)
    assert show(store, schedule).last_status is Status.RUNNING
    write(store, ended(third, Outcome.SNOOZED, now=after(5), retry_after=0))
    assert show(store, schedule).last_run_time == after(4)
    assert show(store, schedule).last_status is Status.RETRYING
    claim(store, now=after(6))
    assert show(store, schedule).last_run_time == after(6)


def test_a_released_claim_counts_as_not_started(store: AnyStore) -> None:
    (schedule,) = plan(store, a_schedule())
    (work,) = running(store, a_job(schedule_id=schedule.id))
    with store.begin() as tx:
        tx.jobs.release([(work.id, work.token)])
    assert show(store, schedule).last_run_time is None


# listed


@pytest.fixture
def some(store: AnyStore) -> list[Schedule]:
    """Return three schedules: a, b and c."""
    with store.begin() as tx:
        tx.definitions.add(a_definition(key="echo", name="Say again"))
        tx.definitions.add(a_definition(key="report", name="Make a Report"))
    return plan(
        store,
        a_schedule(name="a", cron=CronRule("0 3 * * *"), created_at=after(3), updated_at=after(5)),
        a_schedule(
            name="b",
            task="report",
            cron=CronRule("*/5 * * * *"),
            created_at=after(1),
            updated_at=after(6),
            next_at=None,
        ),
        a_schedule(
            name="c",
            owner=BOB,
            cron=CronRule("0 0 1 * *"),
            created_at=after(2),
            updated_at=after(4),
            next_at=after(-60),
        ),
    )


@pytest.mark.usefixtures("some")
@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (ScheduleFilter(is_active=True), "ac"),
        (ScheduleFilter(is_active=False), "b"),
        (ScheduleFilter(tasks=["report", "none"]), "b"),
        (ScheduleFilter(tasks=[]), ""),
        (ScheduleFilter(owner=BOB), "c"),
        (ScheduleFilter(name="a"), "a"),
        (ScheduleFilter(name_contains="B"), "b"),
        (ScheduleFilter(name_contains="%"), ""),
        (ScheduleFilter(cron_expressions=["0 3 * * *", "0 0 1 * *"]), "ac"),
        (ScheduleFilter(cron_contains="*/5"), "b"),
        (ScheduleFilter(created_from=after(2)), "ac"),
        (ScheduleFilter(created_to=after(2)), "bc"),
        (ScheduleFilter(updated_from=after(5), updated_to=after(5)), "a"),
        (ScheduleFilter(next_from=NOON), "a"),
        (ScheduleFilter(next_to=NOON), "ac"),
        (ScheduleFilter(ids=[1, 3, 99]), "ac"),
        (ScheduleFilter(search="REPORT"), "b"),
        (ScheduleFilter(search="0 3 *"), "a"),
        (ScheduleFilter(search="C"), "c"),
        (ScheduleFilter(search="say again"), "ac"),
        (ScheduleFilter(search="say again", owner=ALICE), "a"),
    ],
)
def test_filters(store: AnyStore, filters: ScheduleFilter, names: str) -> None:
    assert "".join(sorted(found(store, filters))) == names


@pytest.mark.usefixtures("some")
@pytest.mark.parametrize(
    ("ordering", "names"),
    [
        (None, "acb"),
        (["id"], "abc"),
        (["-id"], "cba"),
        (["created_at"], "bca"),
        (["updated_at"], "cab"),
        (["-updated_at"], "bac"),
        (["-name"], "cba"),
        (["cron_expression"], "bca"),
        (["next_run_time"], "cab"),
        (["-next_run_time"], "acb"),
        (["is_active", "name"], "bac"),
        (["-is_active"], "cab"),
        (["-is_active", "name"], "acb"),
    ],
)
def test_orderings(store: AnyStore, ordering: list[str] | None, names: str) -> None:
    ask: dict[str, Any] = {"ordering": ordering} if ordering else {}
    assert "".join(found(store, **ask)) == names


def test_ids_break_ties_descending_where_the_first_name_is(store: AnyStore) -> None:
    plan(store, *[a_schedule(name=name) for name in "abc"])
    assert found(store) == ["c", "b", "a"]
    assert found(store, ordering=["created_at"]) == ["a", "b", "c"]
    assert found(store, ordering=["-next_run_time"]) == ["c", "b", "a"]


def test_a_list_is_read_in_pages(store: AnyStore) -> None:
    kept = plan(store, *[a_schedule(name=f"n{n:02}") for n in range(25)])
    names = [schedule.name for schedule in kept]
    assert found(store, ordering=["id"], offset=0) == names[:20]
    assert found(store, ordering=["id"], offset=20) == names[20:]
    assert found(store, ordering=["id"], offset=3, limit=2) == names[3:5]
    assert found(store, offset=25) == []
    with store.view() as tx:
        assert tx.schedules.count(ALL_OWNERS, ScheduleFilter()) == 25
        views = tx.schedules.find(ALL_OWNERS, ScheduleFilter(), limit=2)
    assert ids([view.schedule for view in views]) == ids(kept)[:-3:-1]


# windows


def test_a_search_reads_the_newest_schedules_only(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constraints, "SEARCH_WINDOW", 3)
    for number in range(5):
        plan(store, a_schedule(name=f"needle {number}", created_at=after(number)))
    plan(store, a_schedule(name="other", owner=BOB, created_at=after(9)))
    plan(store, a_schedule(name="gone", created_at=after(9), deleted_at=NOON))
    mine = Scope(owner=ALICE)
    search = ScheduleFilter(search="needle")
    with store.view() as tx:
        page = tx.schedules.list_page(mine, search)
        assert ([each.name[-1] for each in page.schedules], page.total) == (["4", "3", "2"], 3)
        assert page.is_cut
        assert tx.schedules.count(ALL_OWNERS, search) == 2
        assert [v.schedule.name[-1] for v in tx.schedules.find(mine, search)] == ["4", "3", "2"]
        by_name = tx.schedules.list_page(mine, ScheduleFilter(), ordering=["name"], offset=9)
        assert by_name == ([], 3, True)
        for complete in (
            tx.schedules.list_page(
                mine, ScheduleFilter(created_from=after(1)), ordering=["created_at"]
            ),
            tx.schedules.list_page(ALL_OWNERS, ScheduleFilter(owner=ALICE, created_from=after(1))),
        ):
            assert (complete.total, complete.is_cut) == (4, False)
        assert not tx.schedules.list_page(Scope(owner=BOB), search).is_cut
