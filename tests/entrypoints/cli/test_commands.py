"""The command line: output and exit status."""

import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import fields
from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from workbell.domain.identity.second_factor import FactorKeys
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.cli.main import main
from workbell.entrypoints.config.settings import Settings, load
from workbell.ports.jobs.queues import WorkerInfo


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that runs a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("WORKBELL_DATABASE_URL", "WORKBELL_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)

    def invoke(*words: str) -> Result:
        return CliRunner().invoke(main, list(words), catch_exceptions=False)

    return invoke


def test_without_a_command_the_commands_are_listed(run: Any) -> None:
    said = run("--help").output

    for command in ("up", "migrate", "check", "tasks", "schedules", "jobs", "bench", "openapi"):
        assert command in said


@pytest.mark.parametrize(
    "group", ["", "bench", "jobs", "schedules", "superuser", "tasks", "workers"]
)
def test_the_help_of_every_command_fits_on_one_line(run: Any, group: str) -> None:
    commands = run(*group.split(), "--help").output.partition("Commands:")[2]
    assert commands and "..." not in commands


def test_migrate_prints_the_revision(run: Any) -> None:
    assert "revision" in run("migrate").output


def test_tasks_are_listed_as_a_table_and_as_json(run: Any) -> None:
    assert "Send Email" in run("tasks", "list").output
    listed = json.loads(run("tasks", "list", "--json").output)
    assert listed[0]["key"] == "email.send"
    assert listed[0]["takes"]["email"] == "string"


def test_a_task_is_switched_off_and_on(run: Any) -> None:
    assert run("tasks", "activate", "6", "--off").output == "Echo is inactive.\n"
    assert run("tasks", "activate", "6").output == "Echo is active.\n"


def test_an_empty_list_prints_a_sentence(run: Any) -> None:
    assert run("schedules", "list").output == "There are no schedules.\n"
    assert run("jobs", "list").output == "There are no jobs.\n"


def test_preview_describes_an_expression(run: Any) -> None:
    said = run("schedules", "preview", "0 9 13 * 5", "--zone", "Europe/Berlin", "-n", "2").output
    assert said.startswith("At 09:00, ")
    assert "! " in said
    runs = json.loads(run("schedules", "preview", "0 9 * * *", "-n", "3", "--json").output)
    assert len(runs) == 3


def test_an_invalid_expression_prints_one_line_and_exits_with_2(run: Any) -> None:
    result = run("schedules", "preview", "61 * * * *")
    assert result.exit_code == 2
    assert result.stderr.startswith("workbell: cron_expression: Invalid cron expression")
    assert result.stderr.count("\n") == 1


def test_a_job_is_enqueued_shown_cancelled_and_retried(run: Any) -> None:
    assert run("jobs", "enqueue", "echo", '{"a": 1}', "--key", "k").output == "Job 1 was created.\n"
    again = run("jobs", "enqueue", "echo", '{"a": 1}', "--key", "k").output
    assert again == "Job 1 was enqueued before.\n"
    listed = run("jobs", "list", "--status", "pending", "--status", "failed", "--json")
    assert [job["status"] for job in json.loads(listed.output)] == ["pending"]
    assert json.loads(run("jobs", "show", "1", "--json").output)["parameters"] == {"a": 1}
    assert run("jobs", "cancel", "1").output == "Job 1 was cancelled.\n"
    assert run("jobs", "retry", "1").output == "Job 1 will be retried.\n"
    assert "retrying" not in run("jobs", "show", "1").output


def test_a_job_is_shown_with_its_attempts(run: Any, tmp_path: Path) -> None:
    import workbell
    from workbell.entrypoints.library.client import make_task

    def body(_: workbell.TaskContext, __: dict[str, Any]) -> None:
        raise ValueError("red \x1b[31m alert")

    url = f"sqlite:///{tmp_path / '.workbell' / 'workbell.db'}"
    with workbell.open(url, tasks=[make_task(body, "fails", max_attempts=1)]) as client:
        client.jobs.enqueue("fails", {})
        client.run_until_idle()

    (attempt,) = json.loads(run("jobs", "show", "1", "--json").output)["attempts"]
    assert attempt["outcome"] == "failed"
    assert attempt["traceback"].endswith("ValueError: red \x1b[31m alert\n")
    assert attempt["duration_seconds"] >= 0 and attempt["queue_wait_seconds"] >= 0
    shown = run("jobs", "show", "1").output
    assert "attempt 1: failed\n" in shown
    for name in ("queued_at", "started_at", "ended_at", "worker", "duration_seconds"):
        assert f"\n  {name} " in shown
    assert "\n  Traceback (most recent call last):\n" in shown
    assert "\n  ValueError: red ?[31m alert\n" in shown
    assert "cancel_requested  no\n" in shown


def test_workers_are_listed_with_all_their_fields(run: Any, tmp_path: Path) -> None:
    run("migrate")
    assert run("workers", "list").output == "There are no workers.\n"
    settings = Settings(data_dir=tmp_path / ".workbell")
    with closing(build(settings)) as application:
        application.worker(4).renew_leases()
    (listed,) = json.loads(run("workers", "list", "--json").output)
    assert listed["threads"] == 4
    assert set(listed) == {each.name for each in fields(WorkerInfo)}
    assert "THREADS" in run("workers", "list").output


def test_an_unknown_id_prints_one_line_and_exits_with_2(run: Any) -> None:
    for words in (("jobs", "show", "9"), ("schedules", "pause", "9"), ("schedules", "run", "9")):
        result = run(*words)
        assert result.exit_code == 2
        assert result.stderr.startswith("workbell: ")


def test_parameters_must_be_a_json_object(run: Any) -> None:
    for wrong in ("[1]", "{"):
        result = run("jobs", "enqueue", "echo", wrong)
        assert result.exit_code == 2
        assert "PARAMETERS" in result.stderr


def test_schedules_are_paused_resumed_and_run(run: Any, tmp_path: Path) -> None:
    import workbell

    url = f"sqlite:///{tmp_path / '.workbell' / 'workbell.db'}"
    with workbell.open(url) as client:
        client.schedules.create(task="echo", cron="0 9 * * *", name="Morning")

    assert "0 9 * * *" in run("schedules", "list").output
    assert run("schedules", "pause", "1").output == "Schedule 1 is paused.\n"
    assert run("schedules", "resume", "1").output.startswith("Schedule 1 runs next at ")
    assert run("schedules", "run", "1").output == "Job 1 was created.\n"


def test_a_misspelt_setting_exits_with_2(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBELL_PROT", "1")
    result = run("migrate")
    assert result.exit_code == 2
    assert "WORKBELL_PORT" in result.stderr


def test_check_reports_warnings_and_errors(
    run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    result = run("check")
    assert result.exit_code == 0
    assert "SMTP_URL" in result.output
    assert "SELF_SERVICE_TIER" in result.output
    assert "…" not in result.output

    monkeypatch.setenv("WORKBELL_INPUT_DIRS", str(tmp_path / "nowhere"))
    monkeypatch.setenv("WORKBELL_HOST", "0.0.0.0")
    monkeypatch.setenv("WORKBELL_ALLOWED_HOSTS", "*")
    monkeypatch.setenv("WORKBELL_DEBUG", "true")
    monkeypatch.setenv("WORKBELL_ADMIN_PASSWORD", "short")
    monkeypatch.setenv("WORKBELL_FORCE_HTTPS", "true")
    monkeypatch.setenv("WORKBELL_ALLOW_PRIVATE_DESTINATIONS", "true")
    result = run("check", "--json")
    found = {row["what"]: row["level"] for row in json.loads(result.output)}
    assert result.exit_code == 1
    assert found["INPUT_DIRS"] == found["FORCE_HTTPS"] == "error"
    warned = {"PUBLIC_URL", "ALLOWED_HOSTS", "DEBUG", "ADMIN_PASSWORD"}
    assert warned | {"ALLOW_PRIVATE_DESTINATIONS"} <= set(found)


def test_check_reports_a_database_that_cannot_be_opened(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBELL_DATABASE_URL", "sqlite:////proc/nowhere/w.db")
    result = run("check", "--json")
    assert {"error"} == {
        row["level"] for row in json.loads(result.output) if row["what"] == "DATABASE_URL"
    }


def test_check_names_parked_tasks(run: Any) -> None:
    run("migrate")
    run("tasks", "list")
    with closing(build(load(arguments={}))) as application, application.store.begin() as tx:
        assert tx.definitions.set_parked("data.process", datetime(2030, 1, 1, tzinfo=UTC))
    result = run("check", "--json")
    (found,) = (row for row in json.loads(result.output) if row["what"] == "data.process")
    assert found["level"] == "warning"
    assert "No worker knows this task" in found["detail"]


def test_check_warns_of_an_unavailable_redis(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers start without Redis, so a wrong address would go unnoticed."""
    monkeypatch.setenv("WORKBELL_SECRET_KEY", "x" * 40)
    monkeypatch.setenv("WORKBELL_REDIS_URL", "redis://127.0.0.1:1/0")
    result = run("check", "--json")
    assert result.exit_code == 0
    assert {"warning"} == {
        row["level"] for row in json.loads(result.output) if row["what"] == "REDIS_URL"
    }


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("DATA_DIR", "a-file", "The folder a-file cannot be created: File exists."),
        ("LOG_FILE", "a-file/log", "The log file a-file/log cannot be opened: File exists."),
        (
            "DATABASE_URL",
            "sqlite:////proc/nowhere/w.db",
            "The database /proc/nowhere/w.db cannot be opened: unable to open database file.",
        ),
        (
            "DATABASE_URL",
            "postgresql://nobody@127.0.0.1:1/none",
            (
                "The database does not answer: connection failed: connection to server at "
                '"127.0.0.1", port 1 failed: Connection refused.'
            ),
        ),
    ],
)
def test_an_unusable_path_or_server_prints_one_line_and_exits_with_2(
    run: Any, monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    Path("a-file").touch()
    monkeypatch.setenv("WORKBELL_SECRET_KEY", "x" * 40)
    monkeypatch.setenv(f"WORKBELL_{name}", value)
    result = run("up", "--port", "0")
    assert (result.exit_code, result.stderr) == (2, f"workbell: {reason}\n")


def test_an_unavailable_redis_is_logged_at_startup(tmp_path: Path) -> None:
    """Jobs run without Redis, so a wrong address would go unnoticed."""
    settings = Settings(data_dir=tmp_path, secret_key="x" * 40, redis_url="redis://127.0.0.1:1/0")
    application = build(settings)
    with capture_logs() as logs, closing(application):
        application.warn_if_redis_unavailable()
    assert [(line["log_level"], line["event"]) for line in logs] == [
        ("warning", "redis_unavailable")
    ]


def test_a_superuser_is_created_once(run: Any) -> None:
    words = ("superuser", "create", "--username", "root", "--email", "root@example.org")
    made = run(*words, "--password", "correct-horse-battery")
    assert made.output == "Administrator root was created.\n"
    again = run(*words, "--password", "correct-horse-battery")
    assert again.exit_code == 2


def test_a_lost_second_factor_is_removed(run: Any) -> None:
    words = ("--username", "root", "--email", "root@example.org", "--password", "correct-horse")
    run("superuser", "create", *words)
    application = build(Settings(data_dir=Path(".workbell")))
    with application.store.begin() as tx:
        now = application.clock.now()
        root = tx.users.by_login("root")
        assert root is not None
        tx.second_factors.put(FactorKeys.of([b"k" * 32]).enrol(root.id, "ab" * 32, now))
    application.close()
    lost = ("superuser", "remove-second-factor", "--username")
    removed = run(*lost, "root@example.org")
    assert removed.output.endswith("The second factor of root was removed.\n")
    assert run(*lost, "root").output == "root has no second factor.\n"
    unknown = run(*lost, "unknown")
    assert unknown.exit_code == 2
    assert "no user 'unknown'" in unknown.stderr


def test_the_openapi_document_is_printed_or_written(run: Any, tmp_path: Path) -> None:
    assert json.loads(run("openapi").output)["openapi"].startswith("3.1")
    run("openapi", "--output", str(tmp_path / "api.json"))
    assert json.loads((tmp_path / "api.json").read_bytes())["info"]["title"]


def test_up_exits_with_2_if_the_port_is_in_use(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = run("up", "--port", str(taken.getsockname()[1]))
    assert result.exit_code == 2
    assert "the port is in use" in result.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_api_exits_with_2_if_the_port_is_in_use(
    run: Any, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    import socket

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        taken = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip(f"this machine has no {host}")
    monkeypatch.setenv("WORKBELL_HOST", host)
    with taken:
        result = run("api", "--port", str(taken.getsockname()[1]))
    assert result.exit_code == 2
    assert "the port is in use" in result.stderr


def test_bench_measures_and_writes_the_page(run: Any, tmp_path: Path) -> None:
    run("bench", "jobs", "--count", "100")
    run("bench", "ticks", "--schedules", "100")
    run("bench", "identity", "--calls", "100", "--seconds", "0.1")
    run("bench", "delivery", "--events", "100", "--deliveries", "1000", "--seconds", "1")
    run("bench", "summaries", "--users", "4", "--entries", "1000", "--people", "300")
    assert run("bench", "page", "--check").exit_code == 1
    run("bench", "page")
    assert run("bench", "page", "--check").exit_code == 0
    page = (tmp_path / "PERFORMANCE.md").read_text()
    assert "workbell bench ticks --schedules 100" in page
    assert "ratio of the two" in page
    assert "reminder run that emails 300 users" in page


def test_bench_compares_the_summaries_of_a_user_with_and_without_the_cache(
    run: Any, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path / ".workbell")
    application = build(settings)
    application.migrate_and_register()
    application.ensure_administrator()
    application.close()
    shown = json.loads(run("bench", "summaries", "--user", "1", "--json").stdout)
    assert [(row["summary"], row["requests"]) for row in shown] == [
        ("weekly", 200),
        ("monthly", 200),
    ]
    assert all(row["ratio of p50"] > 0 for row in shown)
    assert run("bench", "summaries", "--user", "9").exit_code == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["echo", '{"a": NaN}'], "a must be a number"),
        (["echo", '{"a": 18446744073709551616}'], "a must be an integer of at most 64 bits"),
        (["x" * 10_001], "task_definition must have at most 10,000 characters"),
        (["echo", "--at", "9999-12-31T23:00:00-1200"], "must be a date-time such as"),
        (["echo", "--key", ""], "Must be 1 to 255 printable characters."),
    ],
)
def test_a_job_is_refused_as_over_http(run: Any, words: list[str], message: str) -> None:
    run("migrate")
    refused = run("jobs", "enqueue", *words)
    assert refused.exit_code != 0
    assert message in refused.output
