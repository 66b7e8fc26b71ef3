"""The tasks of delivery are internal: users neither list nor run them."""

import pytest

from tests.services.delivery.sending import DeliveryFixture
from workbell.domain.errors import NotAllowed
from workbell.domain.identity.actor import SYSTEM, Actor
from workbell.services.jobs.requests import NewJob
from workbell.services.schedules.requests import NewSchedule

pytestmark = pytest.mark.unit

KEYS = ["delivery.send", "delivery.release", "delivery.cancel", "delivery.replay", "delivery.close"]


def test_lists_of_tasks_leave_them_out(env: DeliveryFixture) -> None:
    assert [each.key for each in env.engine.definitions.all()] == ["echo", "email"]
    assert [task.key for task in env.engine.tasks.all() if task.is_internal] == KEYS


@pytest.mark.parametrize("key", KEYS)
def test_neither_users_nor_superusers_create_jobs_or_schedules_of_them(
    env: DeliveryFixture, admin: Actor, key: str
) -> None:
    root = env.engine.add_user("root", is_super_user=True)
    parameters = {"delivery": 1, "turn": 1, "destination": 1}
    for actor in (admin, root):
        with pytest.raises(NotAllowed):
            env.engine.jobs.create(actor, NewJob(task_definition=key, parameters=parameters))
        with pytest.raises(NotAllowed):
            env.engine.schedules.create(
                actor,
                NewSchedule(
                    task_definition=key, cron_expression="* * * * *", parameters=parameters
                ),
            )
    assert env.engine.list_jobs() == []


def test_the_service_itself_may_create_their_jobs(env: DeliveryFixture) -> None:
    new = NewJob(task_definition="delivery.send", parameters={"delivery": 1, "turn": 1})
    job, is_new = env.engine.jobs.create(SYSTEM, new)
    assert (is_new, job.queue) == (True, "deliveries")
