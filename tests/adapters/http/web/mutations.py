"""One valid request to each route that changes something, by the route's name."""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from tests.adapters.http.conftest import A_SCHEDULE, ApiFixture
from workbell.domain.notifications.unsubscribe import EmailCategory, Unsubscription

Names = Mapping[str, Any]


def no_body(_: ApiFixture, __: Names) -> None:
    """Send no body."""


@frozen
class Mutation:
    """
    A request that changes something, and the audit entry that it must leave.

    `prepare` brings the objects into the state that the request needs, and
    returns path parameters that replace the prepared ones.
    """

    action: str
    model_name: str
    body: Callable[[ApiFixture, Names], Any] = no_body
    caller: str = "ada"
    prepare: Callable[[ApiFixture, Names], Names | None] = no_body


def given(**body: Any) -> Callable[[ApiFixture, Names], Any]:
    return lambda _, __: body


def unended_job(api: ApiFixture, _: Names) -> Names:
    return {"job_id": api.job("ada")["id"]}


def after_post(path: str) -> Callable[[ApiFixture, Names], None]:
    def prepare(api: ApiFixture, names: Names) -> None:
        answer = api.post(path.format(**names), "ada")
        assert answer.status_code in {200, 201}, answer.json

    return prepare


def subscribed(api: ApiFixture, _: Names) -> Names:
    ada = api.actor("ada")
    token = Unsubscription(ada.user_id, EmailCategory.REMINDERS)
    return {"token": api.deps.preferences.tokens.make(token)}


def paused_queue(api: ApiFixture, _: Names) -> None:
    assert api.post("/api/v1/queues/default/pause", "root").status_code == 200


def another_user(api: ApiFixture, _: Names) -> Any:
    return {"user": api.users["bob"].id, "role": 2}


def a_new_job(api: ApiFixture, _: Names) -> Any:
    return {"name": "n", "scheduled_time": api.clock.now().isoformat()}


SCHEDULE = Mutation("UPDATE", "schedule", given(name="another"))
GOAL = Mutation("UPDATE", "goal", given(goal_name="Another"))
PROGRESS = Mutation("UPDATE", "progress", given(progress="Two lengths"))
ACCOUNT = Mutation("UPDATE", "account", given(name="Another"))
DESTINATION = Mutation("UPDATE", "destination", given(url="https://example.com/other"))
NEW_GOAL = Mutation("CREATE", "goal", given(goal_name="Swim", category="Primary"))
NEW_PROGRESS = Mutation("CREATE", "progress", given(progress="One", logged_hours="01:00:00"))
NEW_DESTINATION = Mutation("CREATE", "destination", given(url="https://example.com/hook"))
QUEUE = Mutation("UPDATE", "queue", caller="root")
PERIOD = {"start": "2026-04-20T00:00:00Z", "end": "2026-04-22T00:00:00Z"}

MUTATIONS: Mapping[str, Mutation] = {
    "create_schedule": Mutation("CREATE", "schedule", given(**A_SCHEDULE)),
    "insighthub_create_schedule": Mutation("CREATE", "schedule", given(**A_SCHEDULE)),
    "replace_schedule": Mutation("UPDATE", "schedule", given(**A_SCHEDULE, name="another")),
    "insighthub_replace_schedule": Mutation(
        "UPDATE", "schedule", given(**A_SCHEDULE, name="another")
    ),
    "change_schedule": SCHEDULE,
    "insighthub_change_schedule": SCHEDULE,
    "delete_schedule": Mutation("DELETE", "schedule"),
    "insighthub_delete_schedule": Mutation("DELETE", "schedule"),
    "toggle_schedule": Mutation("UPDATE", "schedule"),
    "insighthub_toggle_schedule": Mutation("UPDATE", "schedule"),
    "run_schedule": Mutation("RUN_NOW", "schedule"),
    "backfill_schedule": Mutation("BACKFILL", "schedule", given(**PERIOD)),
    "create_job": Mutation("CREATE", "job", given(task_definition="echo")),
    "jobprocessing_create_job": Mutation("CREATE", "job", a_new_job),
    "cancel_job": Mutation("CANCEL", "job", prepare=unended_job),
    "retry_job": Mutation("RERUN", "job"),
    "jobprocessing_delete_job": Mutation("DELETE", "job"),
    "switch_task_definition": Mutation(
        "UPDATE", "task_definition", given(is_active=False), caller="root"
    ),
    "pause_queue": QUEUE,
    "resume_queue": Mutation("UPDATE", "queue", caller="root", prepare=paused_queue),
    "drain_queue": QUEUE,
    "create_goal": NEW_GOAL,
    "learnflow_create_goal": NEW_GOAL,
    "change_goal": GOAL,
    "learnflow_change_goal": GOAL,
    "delete_goal": Mutation("DELETE", "goal"),
    "learnflow_delete_goal": Mutation("DELETE", "goal"),
    "pause_goal": Mutation("PAUSE", "goal"),
    "resume_goal": Mutation("RESUME", "goal", prepare=after_post("/api/v1/goals/{goal_num}/pause")),
    "archive_goal": Mutation("ARCHIVE", "goal"),
    "start_timer": Mutation("START_TIMER", "goal"),
    "stop_timer": Mutation(
        "STOP_TIMER", "progress", prepare=after_post("/api/v1/goals/{goal_num}/timer/start")
    ),
    "log_progress": NEW_PROGRESS,
    "learnflow_log_progress": NEW_PROGRESS,
    "change_progress": PROGRESS,
    "learnflow_change_progress": PROGRESS,
    "delete_progress": Mutation("DELETE", "progress"),
    "learnflow_delete_progress": Mutation("DELETE", "progress"),
    "unsubscribe": Mutation("UPDATE", "notification_preferences", prepare=subscribed),
    "create_account": Mutation("CREATE", "account", given(name="Mine")),
    "datamanager_create_account": Mutation("CREATE", "account", given(name="Mine")),
    **dict.fromkeys(
        (
            "replace_account",
            "change_account",
            "datamanager_replace_account",
            "datamanager_change_account",
        ),
        ACCOUNT,
    ),
    "delete_account": Mutation("DELETE", "account"),
    "datamanager_delete_account": Mutation("DELETE", "account"),
    "rotate_account_token": Mutation("ROTATE_TOKEN", "account"),
    "add_account_member": Mutation("CREATE", "membership", another_user),
    "datamanager_add_account_member": Mutation("CREATE", "membership", another_user),
    "change_account_member": Mutation("UPDATE", "membership", given(role=1)),
    "datamanager_change_account_member": Mutation("UPDATE", "membership", given(role=1)),
    "remove_account_member": Mutation("DELETE", "membership"),
    "datamanager_remove_account_member": Mutation("DELETE", "membership"),
    "create_destination": NEW_DESTINATION,
    "datamanager_create_destination": NEW_DESTINATION,
    **dict.fromkeys(
        (
            "replace_destination",
            "change_destination",
            "datamanager_replace_destination",
            "datamanager_change_destination",
        ),
        DESTINATION,
    ),
    "delete_destination": Mutation("DELETE", "destination"),
    "datamanager_delete_destination": Mutation("DELETE", "destination"),
    "enable_destination": Mutation("ENABLE", "destination"),
    "test_destination": Mutation("TEST", "destination"),
    "rotate_destination_secret": Mutation("ROTATE_SECRET", "destination"),
    "retry_delivery": Mutation("RETRY", "delivery"),
    "replay_destination": Mutation("REPLAY", "destination", given(since="2026-05-01T00:00:00Z")),
    "erase_personal_data": Mutation("ERASE", "personal_data", caller="root"),
}
"""Identity's routes have their own requests in test_audit_trail."""

NO_MUTATIONS: Mapping[str, str] = {
    "preview_expression": "It only calculates.",
    "insighthub_search_schedules": "It only reads.",
    "publish_events": "The event is its own record: account, sender and time, never changed.",
    "datamanager_receive_data": "The same.",
}
"""Routes other than GET without an entry, and why."""
