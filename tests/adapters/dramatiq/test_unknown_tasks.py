"""Unknown tasks of a process: claims to return, and keys to exclude."""

from attrs import define

from tests.adapters.dramatiq.factories import NOW, claim
from workbell.adapters.dramatiq.unknown_tasks import UnknownTasks
from workbell.domain.jobs.task import Task, Tasks


@define
class Noon:
    """A clock that stands still."""

    def now(self) -> object:
        return NOW


def make_unknown() -> UnknownTasks:
    tasks = Tasks()
    tasks.add(Task(key="t", body=print))
    return UnknownTasks(tasks, Noon())  # type: ignore[arg-type]


def test_claims_of_unknown_tasks_are_set_aside_until_they_are_drained() -> None:
    unknown = make_unknown()
    known, new, newer = claim(1), claim(2, task="new"), claim(3, task="newer")
    assert unknown.set_aside([known, new, newer]) == [new, newer]
    assert unknown.excluded() == {"new": NOW, "newer": NOW}
    assert unknown.drain() == [new, newer]
    assert unknown.drain() == []
    unknown.requeue([new])
    assert unknown.drain() == [new]


def test_nothing_is_excluded_at_first() -> None:
    unknown = make_unknown()
    assert unknown.set_aside([claim(1)]) == []
    assert unknown.excluded() == {}


def test_a_task_is_excluded_until_the_process_knows_it() -> None:
    unknown = make_unknown()
    unknown.set_aside([claim(1, task="new"), claim(2, task="newer")])
    unknown.tasks.add(Task(key="new", body=print))
    assert unknown.excluded() == {"newer": NOW}
