"""Send Email, Echo, Database Cleanup, reports, and the list of tasks."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from attrs import Factory, evolve, frozen

from tests.adapters.builtin_tasks.context import NOON, RecordedContext
from tests.domain.delivery.factories import a_destination, an_account, an_event
from workbell.adapters.builtin_tasks import report_generation as reporting
from workbell.adapters.builtin_tasks import report_html as report_page
from workbell.adapters.builtin_tasks.database_cleanup import DatabaseCleaner, DatabaseCleanup
from workbell.adapters.builtin_tasks.registry import built_in_tasks
from workbell.adapters.builtin_tasks.report_generation import ReportGeneration, ReportGenerator
from workbell.adapters.builtin_tasks.send_email import EmailSender, SendEmail
from workbell.adapters.memory.store import MemoryStore
from workbell.adapters.serialization.serializer import JsonSerializer
from workbell.adapters.webhook_client.client import Urllib3WebhookClient
from workbell.domain.cron.rule import CronRule
from workbell.domain.delivery.delivery import Delivery, DeliveryState
from workbell.domain.errors import Invalid, NotAllowed
from workbell.domain.identity.actor import ALL_OWNERS, SYSTEM, Actor
from workbell.domain.identity.user import User, UserId
from workbell.domain.jobs.attempt import Artifact
from workbell.domain.jobs.job import Job, JobId, JobState
from workbell.domain.jobs.task import Cancelled, Task, TaskDefinition
from workbell.domain.schedules.schedule import Schedule
from workbell.ports.delivery.repository import DeliveryFilter
from workbell.ports.files import StoredFile
from workbell.ports.jobs.views import JobFilter
from workbell.ports.mail import Email

pytestmark = pytest.mark.unit

SERIALIZER = JsonSerializer()
OWNER, OTHER = UserId(1), UserId(2)


@frozen
class FixedClock:
    def now(self) -> Any:
        return NOON


@frozen
class Outbox:
    messages: list[Email] = Factory(list)

    def send(self, message: Email) -> None:
        self.messages.append(message)


@frozen
class FakeFiles:
    deleted: list[str] = Factory(list)

    def new_key(self) -> str:
        raise NotImplementedError

    def save(self, key: str, source: BinaryIO | Path | bytes) -> StoredFile:
        raise NotImplementedError

    def read(self, key: str) -> Iterator[bytes]:
        raise NotImplementedError

    def delete(self, key: str) -> None:
        self.deleted.append(key)


def a_job(**changed: Any) -> Job:
    given: dict[str, Any] = {
        "owner": OWNER,
        "task": "echo",
        "due_at": NOON,
        "created_at": NOON - timedelta(hours=1),
        "state": JobState.SUCCEEDED,
        "ended_at": NOON - timedelta(minutes=30),
    }
    return Job(**given | changed)


# the list of tasks


def tasks_by_key() -> dict[str, Task]:
    tasks = built_in_tasks(
        store=MemoryStore(FixedClock()),
        files=FakeFiles(),
        mailer=Outbox(),
        webhook_client=Urllib3WebhookClient(user_agent="Workbell/1.0"),
    )
    return {task.key: task for task in tasks}


def test_the_tasks_of_insighthub_are_first_in_their_order() -> None:
    assert [(task.key, task.name) for task in tasks_by_key().values()] == [
        ("email.send", "Send Email"),
        ("data.process", "Data Processing"),
        ("report.generate", "Report Generation"),
        ("files.backup", "File Backup"),
        ("database.cleanup", "Database Cleanup"),
        ("echo", "Echo"),
        ("http.request", "HTTP Request"),
    ]


@pytest.mark.parametrize(
    ("key", "flat"),
    [
        (
            "email.send",
            {"email": "string", "delay": "integer", "subject": "string", "body": "string"},
        ),
        (
            "data.process",
            {
                "dataset_size": "integer",
                "processing_type": "string",
                "source": "string",
                "columns": "object",
                "operation": "string",
            },
        ),
        ("report.generate", {"report_type": "string", "include_charts": "boolean"}),
        (
            "files.backup",
            {
                "source_path": "string",
                "destination": "string",
                "compress": "boolean",
                "keep": "integer",
            },
        ),
        ("database.cleanup", {"days_old": "integer", "table_name": "string"}),
        (
            "http.request",
            {"url": "string", "method": "string", "headers": "object", "body": "string"},
        ),
    ],
    ids=["email", "data", "report", "backup", "cleanup", "request"],
)
def test_parameters_have_a_flat_schema(key: str, flat: dict[str, str]) -> None:
    parameters = tasks_by_key()[key].parameters
    assert parameters is not None
    schema = SERIALIZER.schema(parameters)
    definition = TaskDefinition(key=key, name="", schema=schema, created_at=NOON)
    assert definition.flat_schema() == flat


def test_echo_returns_its_parameters() -> None:
    echo = tasks_by_key()["echo"]
    assert echo.parameters is None
    assert echo.body(RecordedContext(), {"a": 1}) == {"a": 1}


# mail


def test_all_attempts_send_the_same_message_id() -> None:
    outbox = Outbox()
    parameters = SERIALIZER.structure({"email": "a@b.example", "delay": 5}, SendEmail)
    sender = EmailSender(outbox)
    results = [sender.run(RecordedContext(attempt=n), parameters) for n in (1, 2)]

    assert outbox.messages[0] == outbox.messages[1]
    message = outbox.messages[0]
    assert (message.to, message.subject, message.text) == (
        "a@b.example",
        parameters.subject,
        parameters.body,
    )
    assert results[0] == {
        "email": "a@b.example",
        "subject": message.subject,
        "message_id": message.message_id,
    }
    sender.run(RecordedContext(idempotency_key="other"), parameters)
    assert outbox.messages[2].message_id != message.message_id
    delay = sender.task().delay
    assert delay is not None
    assert delay(parameters) == 5.0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"email": "someone"}, "must be an email address"),
        ({"email": "a@b\n"}, "must be an email address"),
        ({"email": "a@b.example, c@d.example"}, "must be an email address"),
        ({"email": "a\x01@b.example"}, "must be an email address"),
        ({"delay": -1}, "at least 0"),
        ({"delay": 10**9}, "at most"),
        ({"delay": "5"}, "delay must be an integer"),
        ({"subject": "a\r\nBcc: c@d.example"}, "single line"),
        ({"subject": ""}, "not be empty"),
        ({"bcc": "x"}, "is not a valid parameter"),
    ],
    ids=list("abcdefghij"),
)
def test_invalid_email_parameters_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        SERIALIZER.structure({"email": "a@b.example"} | changed, SendEmail)


# cleanup


def a_store(*jobs: Job) -> MemoryStore:
    store = MemoryStore(FixedClock())
    with store.begin() as tx:
        for name in ("ada", "bob"):
            tx.users.add(
                User(
                    username=name,
                    email=f"{name}@x.example",
                    created_at=NOON,
                    is_super_user=name == "ada",
                )
            )
        tx.definitions.add(TaskDefinition(key="echo", name="Echo", created_at=NOON))
        tx.jobs.add(jobs, NOON)
    return store


EXECUTIONS = DatabaseCleanup(days_old=3, table_name="execution_logs")


def old(days: int, **changed: Any) -> Job:
    then = NOON - timedelta(days=days)
    return a_job(created_at=then, due_at=then, ended_at=then, **changed)


def test_old_executions_are_deleted_with_their_files() -> None:
    store = a_store(*(old(days) for days in (1, 2, 4, 5, 6)), old(9, state=JobState.READY))
    with store.begin() as tx:
        tx.logs.add_artifact(JobId(3), Artifact("a.txt", "text/plain", 1, "0" * 64, "key-1"))
        schedule = tx.schedules.add(
            Schedule(task="echo", cron=CronRule("* * * * *"), created_at=NOON, updated_at=NOON)
        )
        tx.jobs.add([old(9, schedule_id=schedule.id)], NOON)
    files, context = FakeFiles(), RecordedContext(owner=OWNER)
    result = DatabaseCleaner(store, files, batch=2).run(context, EXECUTIONS)

    assert result == {"table_name": "execution_logs", "days_old": 3, "records_deleted": 4}
    assert files.deleted == ["key-1"]
    assert context.notes[-1][0] == 4
    assert DatabaseCleaner(store, files).run(RecordedContext(), EXECUTIONS)["records_deleted"] == 0


def test_old_deliveries_that_have_ended_are_deleted() -> None:
    store = a_store(old(9))
    states = [DeliveryState.SUCCEEDED] * 5 + [DeliveryState.PENDING, DeliveryState.FAILED]
    with store.begin() as tx:
        account = tx.accounts.add(an_account())
        destination = tx.destinations.add(a_destination(account_id=account.id))
        event = tx.events.add(an_event(account_id=account.id))
        assert event is not None
        made = Delivery.create(event, destination, NOON)
        tx.deliveries.add_many(
            [
                evolve(made, state=state, created_at=NOON - timedelta(days=days))
                for days, state in enumerate(states)
            ]
        )
    cleaning = DatabaseCleanup(days_old=2, table_name="deliveries")
    context = RecordedContext(owner=OWNER)
    result = DatabaseCleaner(store, FakeFiles(), batch=1).run(context, cleaning)

    assert result == {"table_name": "deliveries", "days_old": 2, "records_deleted": 3}
    with store.view() as tx:
        remaining, _ = tx.deliveries.list_page(DeliveryFilter())
        assert tx.jobs.find(ALL_OWNERS, JobFilter()) != []
    assert {each.delivery.state for each in remaining} == {
        DeliveryState.SUCCEEDED,
        DeliveryState.PENDING,
    }


def test_the_owner_must_be_a_superuser_when_the_job_runs() -> None:
    store = a_store(old(9))
    cleaner = DatabaseCleaner(store, FakeFiles())
    with pytest.raises(NotAllowed, match="superusers"):
        cleaner.check(Actor(user_id=OTHER), EXECUTIONS)
    with pytest.raises(NotAllowed, match="superusers"):
        cleaner.run(RecordedContext(owner=OTHER), EXECUTIONS)
    with pytest.raises(NotAllowed, match="no longer a user"):
        cleaner.run(RecordedContext(owner=UserId(99)), EXECUTIONS)
    with store.begin() as tx:
        tx.users.replace(evolve(tx.users.get_for_update(OWNER), is_active=False))
    with pytest.raises(NotAllowed, match="no longer active"):
        cleaner.run(RecordedContext(owner=OWNER), EXECUTIONS)


@pytest.mark.parametrize("table", ["users", "audit_logs", "workbell_jobs", "execution_logs; --"])
def test_the_error_for_another_table_lists_the_allowed_ones(table: str) -> None:
    cleaner = DatabaseCleaner(a_store(), FakeFiles())
    other = evolve(EXECUTIONS, table_name=table)
    with pytest.raises(Invalid, match="execution_logs, deliveries"):
        cleaner.check(SYSTEM, other)
    with pytest.raises(Invalid):
        cleaner.run(RecordedContext(), other)


def test_a_cleanup_stops_between_two_batches() -> None:
    with pytest.raises(Cancelled):
        DatabaseCleaner(a_store(old(9)), FakeFiles()).run(
            RecordedContext(checks_left=[0]), EXECUTIONS
        )


# reports


def a_history() -> MemoryStore:
    store = a_store(
        a_job(name="=cmd()", started_at=NOON - timedelta(minutes=31)),
        a_job(state=JobState.FAILED, task="<b>", reason="<script>alert(1)</script>", name="-x"),
        a_job(state=JobState.READY, ended_at=None, due_at=NOON - timedelta(hours=1)),
        old(3),
        a_job(owner=OTHER, name="not mine"),
    )
    with store.begin() as tx:
        for owner in (OWNER, OTHER):
            tx.schedules.add(
                Schedule(
                    owner=owner,
                    task="echo",
                    name=f"of {owner}",
                    cron=CronRule("0 9 * * *"),
                    created_at=NOON,
                    updated_at=NOON,
                )
            )
    return store


def test_a_report_contains_the_owners_rows_of_the_period(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "PAGE", 2)
    context = RecordedContext(owner=OWNER)
    result = ReportGenerator(a_history()).run(context, ReportGeneration(include_charts=True))

    assert SERIALIZER.unstructure(result) == result
    assert (result["jobs"], result["schedules"]) == (3, 1)
    assert result["by_status"] == {"pending": 1, "failed": 1, "succeeded": 1}
    assert result["period_start"] == "2026-02-28T12:00:00Z"
    assert sorted(context.files) == sorted(result["artifacts"])
    page = context.files["report.html"].decode()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<svg" in page
    assert "not mine" not in page
    assert "of 2" not in page
    table = context.files["jobs.csv"].decode()
    assert "'=cmd()" in table
    assert "'-x" in table
    assert ",60.0," in table
    assert "0 9 * * *" in context.files["schedules.csv"].decode()


def test_a_report_without_rows_has_no_table_or_chart() -> None:
    context = RecordedContext()
    result = ReportGenerator(a_history()).run(context, ReportGeneration(report_type="monthly"))
    page = context.files["report.html"].decode()
    assert result["jobs"] == 0
    assert "None in this period." in page
    assert "<svg" not in page


def test_a_period_ends_now() -> None:
    weekly = ReportGenerator(a_history()).run(
        RecordedContext(owner=OWNER), ReportGeneration(report_type="weekly")
    )
    assert weekly["jobs"] == 4


def test_a_report_notes_omitted_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "PAGE", 1)
    monkeypatch.setattr(reporting, "MAX_JOBS", 2)
    monkeypatch.setattr(reporting, "MAX_SCHEDULES", 1)
    monkeypatch.setattr(report_page, "FAILURES_SHOWN", 0)
    context = RecordedContext(owner=OWNER)
    assert ReportGenerator(a_history()).run(context, ReportGeneration())["jobs"] == 2
    page = context.files["report.html"].decode()
    assert "There were more jobs" in page
    assert "The newest 0 of 1." in page


def test_bars_are_chart_to_scale_and_escaped() -> None:
    chart = report_page.bars([("<a>", 2.0), ("b", 0.0), ("c", 1.0)], "T & t")
    assert "&lt;a&gt;" in chart
    assert "T &amp; t" in chart
    assert 'width="400.0"' in chart
    assert 'width="200.0"' in chart
    assert 'height="0"' in report_page.bars([], "none")
