"""The library refuses what HTTP refuses, with the same words and its own names."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from sqlalchemy import Engine, create_engine, event, make_url, text

import workbell
from tests.contract.servers import SERVERS, address, drop_database, new_database
from tests.refusals import JOB_REFUSALS, NAIVE, NAIVE_INSTANT, SCHEDULE_REFUSALS, Refusal
from workbell.adapters.sql.database.same_database import is_same_database
from workbell.entrypoints.library.client import make_task

NAMES = {"task_definition": "task", "scheduled_time": "at", "cron_expression": "cron"}


@frozen
class Box:
    """Parameters that are no JSON object by themselves."""

    content: Any = None


def anything(_: workbell.TaskContext, parameters: dict[str, Any]) -> Any:
    """Return the parameters."""
    return parameters


TASKS = [make_task(anything, "test.any")]


@pytest.fixture
def client() -> Generator[workbell.Client]:
    with workbell.open("memory://", tasks=TASKS) as opened:
        yield opened


def in_python(refusal: Refusal) -> tuple[str, dict[str, list[str]]]:
    """Return the name of an argument and the errors of its field."""
    name = NAMES.get(refusal.field, refusal.field)
    return name, {name: [f"{name} {refusal.message}"]}


def is_refused(errors: dict[str, list[str]]) -> Any:
    """Expect Invalid with these field errors."""

    @contextmanager
    def expect() -> Iterator[None]:
        with pytest.raises(workbell.Invalid) as refused:
            yield
        assert refused.value.field_errors == errors

    return expect()


LIBRARY_JOBS = [each for each in JOB_REFUSALS if each.field != "description"]


@pytest.mark.unit
@pytest.mark.parametrize("refusal", LIBRARY_JOBS, ids=str)
def test_a_job_is_refused(client: workbell.Client, refusal: Refusal) -> None:
    name, errors = in_python(refusal)
    arguments = {"task": "test.any", name: refusal.value}
    with is_refused(errors):
        client.jobs.enqueue(**arguments)
    assert not client.jobs.find()


@pytest.mark.unit
@pytest.mark.parametrize("refusal", SCHEDULE_REFUSALS, ids=str)
def test_a_schedule_is_refused(client: workbell.Client, refusal: Refusal) -> None:
    """Also when it is edited: `edit` takes what `create` takes."""
    name, errors = in_python(refusal)
    arguments: Any = {"task": "test.any", "cron": "0 9 * * *"}
    made = client.schedules.create(**arguments)
    with is_refused(errors):
        client.schedules.create(**arguments | {name: refusal.value})
    with is_refused(errors):
        client.schedules.edit(made.id, **{name: refusal.value})
    assert client.schedules.find() == [made]


NESTED = {"a": [{"b": float("nan")}]}
ARGUMENTS: list[tuple[str, Any, str]] = [
    ("delay", timedelta.max, "delay must end before the year 10000"),
    ("delay", timedelta(seconds=-1), "delay must be a timedelta of 0 or more"),
    ("delay", 60, "delay must be a timedelta of 0 or more"),
    ("owner", True, "owner must be an integer"),
    ("owner", -1, "owner must be at least 0"),
    ("owner", 2**63, "owner must be an integer of at most 64 bits"),
    ("idempotency_key", "", "Must be 1 to 255 printable characters."),
    ("idempotency_key", "a\0", "Must be 1 to 255 printable characters."),
    ("idempotency_key", 5, "Must be 1 to 255 printable characters."),
    ("name", "a\0b", "name must not contain NUL"),
    ("name", "\ud800", "name must not contain lone surrogates"),
    ("connection", 5, "connection needs a SQL database, not memory://"),
]


@pytest.mark.unit
@pytest.mark.parametrize(("name", "value", "message"), ARGUMENTS, ids=range(len(ARGUMENTS)))
def test_arguments_that_only_the_library_has_are_refused(
    client: workbell.Client, name: str, value: Any, message: str
) -> None:
    with is_refused({name: [message]}):
        client.jobs.enqueue("test.any", **{name: value})


@pytest.mark.unit
def test_a_naive_time_with_a_delay_is_refused(client: workbell.Client) -> None:
    with is_refused({"at": [f"at {NAIVE}"]}):
        client.jobs.enqueue("test.any", at=NAIVE_INSTANT, delay=timedelta(1))


DEEP: Any = 0
for _ in range(40):
    DEEP = [DEEP]

PARAMETERS: list[tuple[Any, str, str]] = [
    (NESTED, "parameters.a.0.b", "a.0.b must be a number"),
    (Box(NESTED), "parameters.content.a.0.b", "content.a.0.b must be a number"),
    ({"a": 2**64}, "parameters.a", "a must be an integer of at most 64 bits"),
    ({"a": "\ud800"}, "parameters.a", "a must not contain lone surrogates"),
    ({"a": NAIVE_INSTANT}, "parameters.a", f"a {NAIVE}"),
    ({"a": object()}, "parameters.a", "object cannot be written as JSON."),
    ({"a\0": 1}, "parameters", "must not contain NUL"),
    ({"a": "x" * 70_000}, "parameters", "Must take at most 65536 bytes."),
    ("text", "parameters", "parameters must be an object"),
]


@pytest.mark.unit
@pytest.mark.parametrize(("parameters", "path", "message"), PARAMETERS, ids=range(len(PARAMETERS)))
def test_parameters_that_json_cannot_express_are_refused_by_their_path(
    client: workbell.Client, parameters: Any, path: str, message: str
) -> None:
    with is_refused({path: [message]}):
        client.jobs.enqueue("test.any", parameters)
    with pytest.raises(workbell.Invalid):
        client.schedules.create(task="test.any", cron="@daily", parameters=parameters)
    with is_refused({path: [message]}):
        client.jobs.enqueue_many("test.any", [{}, parameters])
    assert not client.jobs.find()


@pytest.mark.unit
def test_parameters_that_are_too_deep_are_refused(client: workbell.Client) -> None:
    with pytest.raises(workbell.Invalid, match="must be at most 32 levels deep"):
        client.jobs.enqueue("test.any", {"a": DEEP})


@pytest.mark.unit
def test_filters_and_ids_are_checked(client: workbell.Client) -> None:
    with pytest.raises(workbell.Invalid, match=r"statuses\.0 must be one of: pending"):
        client.jobs.find(statuses=["runing"])
    with is_refused({"statuses": ["statuses must be a list"]}):
        client.jobs.find(statuses="running")
    with is_refused({"limit": ["limit must be at least 0"]}):
        client.jobs.find(limit=-1)
    with is_refused({"job_id": ["job_id must be an integer of at most 64 bits"]}):
        client.jobs.get(2**70)
    with is_refused({"schedule_id": ["schedule_id must be an integer"]}):
        client.schedules.pause("5")  # type: ignore[arg-type]
    with is_refused({"start": [f"start {NAIVE}"]}):
        client.schedules.backfill(1, NAIVE_INSTANT, datetime.now(UTC))


@pytest.mark.unit
def test_an_unknown_option_is_named(client: workbell.Client) -> None:
    made = client.schedules.create(task="test.any", cron="@daily")
    with is_refused({"jitter": ["jitter is not a known field"]}):
        client.schedules.edit(made.id, jitter=5)  # type: ignore[call-arg]
    with is_refused({"jitter": ["jitter is not a known field"]}):
        client.schedules.create(task="test.any", cron="@daily", jitter=5)  # type: ignore[call-arg]


@pytest.mark.unit
def test_edit_takes_what_create_takes(client: workbell.Client) -> None:
    options: Any = {
        "task": "test.any",
        "cron": "15 6 * * *",
        "parameters": Box("b"),
        "is_active": False,
        "name": "Other",
        "time_zone": "Europe/Berlin",
        "misfire_policy": "skip",
        "overlap_policy": "allow_all",
        "dst_gap": "skip",
        "dst_overlap": "both",
        "starts_at": datetime(2030, 1, 1, tzinfo=UTC),
        "ends_at": datetime(2031, 1, 1, tzinfo=UTC),
        "max_runs": 5,
        "jitter_seconds": 7,
        "queue": "default",
        "priority": 3,
        "max_attempts": 4,
        "timeout_seconds": 50,
        "alert_after_seconds": 600,
    }
    created = client.schedules.create(**options)
    edited = client.schedules.create(task="echo", cron="@daily")
    for name, value in options.items():
        edited = client.schedules.edit(edited.id, **{name: value})
    for name in ("task", "cron", "parameters", "misfire_policy", "ends_at", "priority"):
        assert getattr(edited, name) == getattr(created, name)
    assert edited.parameters == {"content": "b"}
    assert not edited.is_active


@pytest.mark.unit
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_attempts": 0}, "max_attempts must be at least 1"),
        ({"max_attempts": True}, "max_attempts must be an integer"),
        ({"timeout_seconds": 10**12}, "timeout_seconds must be at most 86,400"),
        ({"timeout_seconds": 1.5}, "timeout_seconds must be an integer"),
        ({"queue": "Mail"}, r"queue must match"),
        ({"on_lost": "shrug"}, "on_lost must be one of: retry, fail"),
        ({"check": 5}, "check must be a function"),
        ({"name": "x" * 256}, "name must have at most 255 characters"),
    ],
    ids=str,
)
def test_a_declaration_is_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(workbell.Invalid, match=message):
        workbell.task("test.refused", **options)(anything)
    with pytest.raises(workbell.Invalid, match="key must not be blank"):
        workbell.task(" ")(anything)


def statements_of(engine: Engine) -> list[str]:
    """Return a list to which each statement of an engine is added."""
    sent: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def _(_: object, __: object, statement: str, *___: object) -> None:
        sent.append(statement)

    return sent


BAD_CALLS: list[dict[str, Any]] = [
    {"priority": 10**12},
    {"at": NAIVE_INSTANT},
    {"delay": timedelta.max},
    {"name": "a\0"},
    {"owner": 2**70},
    {"queue": "nowhere"},
    {"idempotency_key": "a\0"},
    {"timeout_seconds": 2**70},
    {"parameters": {"a": float("inf")}},
]


@pytest.mark.integration
@pytest.mark.parametrize("kind", SERVERS)
def test_a_refused_value_leaves_the_callers_transaction_usable(kind: str) -> None:
    """PostgreSQL aborts a transaction at the first statement that fails."""
    made = new_database(kind)
    engine = create_engine(made)
    try:
        with workbell.open(address(made), migrate="auto", tasks=TASKS) as client:
            client.jobs.enqueue("test.any")
            sent = statements_of(engine)
            with engine.begin() as connection:
                connection.execute(text("CREATE TEMPORARY TABLE orders (n INTEGER)"))
                before = len(sent)
                for arguments in BAD_CALLS:
                    with pytest.raises(workbell.Invalid):
                        client.jobs.enqueue("test.any", connection=connection, **arguments)
                assert len(sent) == before
                connection.execute(text("INSERT INTO orders VALUES (1)"))
                assert connection.execute(text("SELECT n FROM orders")).scalar_one() == 1
                kept = client.jobs.enqueue("test.any", {"n": 1}, connection=connection)
            assert client.jobs.get(kept.id).parameters == {"n": 1}
    finally:
        engine.dispose()
        drop_database(kind, str(made.database))


@pytest.mark.integration
@pytest.mark.parametrize("kind", SERVERS)
def test_a_connection_to_another_database_is_refused(kind: str) -> None:
    made, other = new_database(kind), new_database(kind)
    engine = create_engine(other)
    try:
        with workbell.open(address(made), migrate="auto", tasks=TASKS) as client:
            sent = statements_of(engine)
            with engine.connect() as connection, pytest.raises(workbell.Invalid) as refused:
                client.jobs.enqueue("test.any", connection=connection)
            assert list(refused.value.field_errors) == ["connection"]
            assert sent == []
    finally:
        engine.dispose()
        for each in (made, other):
            drop_database(kind, str(each.database))


@pytest.mark.unit
def test_a_connection_to_another_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.db").symlink_to("shop.db")
    with workbell.open("sqlite:///shop.db", tasks=TASKS) as client:
        for url in ("sqlite:///other.db", "sqlite://", "sqlite:///:memory:"):
            engine = create_engine(url)
            with engine.connect() as connection, pytest.raises(workbell.Invalid, match="database"):
                client.jobs.enqueue("test.any", connection=connection)
            engine.dispose()
        with is_refused({"connection": ["connection must be a SQLAlchemy connection"]}):
            client.jobs.enqueue("test.any", connection=url)  # type: ignore[arg-type]
        for url in (f"sqlite:///{tmp_path / 'shop.db'}", "sqlite:///link.db"):
            engine = create_engine(url)
            for _ in range(2):
                with engine.begin() as connection:
                    client.jobs.enqueue("test.any", connection=connection)
            engine.dispose()
        assert len(client.jobs.find()) == 4


PG = "postgresql+psycopg://"


@pytest.mark.unit
@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (f"{PG}localhost/a", f"{PG}127.0.0.1:5432/a", True),
        (f"{PG}ann@127.0.0.1/a", "postgresql+asyncpg://bob:pw@localhost/a", True),
        (f"{PG}127.0.0.1/a", f"{PG}127.0.0.1/b", False),
        (f"{PG}127.0.0.1/a", f"{PG}127.0.0.1:5433/a", False),
        (f"{PG}127.0.0.1/a", f"{PG}192.0.2.7/a", False),
        (f"{PG}127.0.0.1/a", f"{PG}unknown.invalid/a", False),
        (f"{PG}/a?host=/var/run/postgresql", f"{PG}localhost/a", True),
        (f"{PG}", f"{PG}127.0.0.1/a", True),
        (f"{PG}/b", f"{PG}127.0.0.1/a", False),
        ("mysql+pymysql://127.0.0.1/a", "mariadb+pymysql://127.0.0.1:3306/a", True),
        ("mysql+pymysql://127.0.0.1/a", f"{PG}127.0.0.1/a", False),
        ("sqlite:///a.db", "sqlite:///file:a.db?mode=rw&uri=true", True),
        ("sqlite:///a.db", f"{PG}127.0.0.1/a", False),
    ],
)
def test_urls_are_compared_without_asking_the_database(one: str, other: str, *, same: bool) -> None:
    assert is_same_database(make_url(one), make_url(other)) is same
    assert is_same_database(make_url(other), make_url(one)) is same
