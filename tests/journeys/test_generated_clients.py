"""Clients generated from the OpenAPI document call a running service."""

import getpass
import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.journeys.conftest import Client

PROJECT = Path(__file__).with_name("generated_clients")
ACCOUNT = {"username": "tess", "email": "tess@example.org", "password": "correct horse 7"}
SCHEDULE = {"task_definition": "echo", "cron_expression": "0 9 * * 1-5"}
GOAL = {"goal_name": "Learn", "category": "Primary"}
ENTRY = {"progress": "One chapter", "logged_hours": "01:30:00"}
SECONDS = 60


def run(*command: str | Path, folder: Path) -> None:
    """Run a program, and fail with its output if it fails."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, timeout=SECONDS * 3,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, f"{command[0]}: {result.stdout}\n{result.stderr}"


@pytest.fixture
def document(client: Client, tmp_path: Path) -> Path:
    """Write the document of the running service to a file."""
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(client.get("/api/schema/")))
    return path


def load(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import a generated module."""
    monkeypatch.syspath_prepend(str(folder))
    return importlib.import_module(name)


def test_a_client_by_openapi_python_client(
    client: Client, document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Path(sys.executable).with_name("openapi-python-client")
    run(
        script, "generate", "--path", document, "--meta", "none",
        "--output-path", "generated_client", folder=tmp_path,
    )  # fmt: skip
    made: Any = load(tmp_path, "generated_client", monkeypatch)
    models: Any = importlib.import_module("generated_client.models")

    def call(path: str, caller: Any, *args: Any, **more: Any) -> Any:
        operation = importlib.import_module(f"generated_client.api.{path}")
        return operation.sync(*args, client=caller, **more)

    base_url = f"http://127.0.0.1:{client.port}"
    registration = models.RegistrationBody.from_dict(ACCOUNT)
    login = models.LoginBody(username="tess", password=ACCOUNT["password"])
    with made.Client(base_url=base_url, raise_on_unexpected_status=True) as anonymous:
        assert call("identity.register", anonymous, body=registration).username == "tess"
        token = call("identity.login", anonymous, body=login).access

    with made.AuthenticatedClient(
        base_url=base_url, token=token, raise_on_unexpected_status=True
    ) as user:
        new = models.NewSchedule.from_dict(SCHEDULE)
        schedule = call("schedules.create_schedule", user, body=new)
        assert isinstance(schedule, models.ScheduleBody)
        assert schedule.next_run_time is not None

        assert call("goals.create_goal", user, body=models.NewGoal.from_dict(GOAL)).goal_num == 1
        entry = call("goals.log_progress", user, 1, body=models.NewProgressEntry.from_dict(ENTRY))
        assert entry.progress_num == 1
        day = entry.local_day
        assert call("goals.get_summary_range", user, first=day, last=day).total_hours == 1.5

        wrong = models.NewSchedule.from_dict({**SCHEDULE, "cron_expression": "never"})
        problem = call("schedules.create_schedule", user, body=wrong)
    assert isinstance(problem, models.Problem)
    assert problem.status == 400
    assert problem.field_errors["cron_expression"]


def test_models_by_datamodel_code_generator(
    client: Client, document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Path(sys.executable).with_name("datamodel-codegen")
    run(
        script, "--input", document, "--input-file-type", "openapi",
        "--output", "generated_models.py", "--output-model-type", "pydantic_v2.BaseModel",
        "--formatters", "builtin", folder=tmp_path,
    )  # fmt: skip
    models: Any = load(tmp_path, "generated_models", monkeypatch)

    def post(path: str, body: Any, answer: Any, status: int = 201) -> Any:
        sent = body.model_dump(mode="json", exclude_unset=True)
        return answer.model_validate(client.post(path, sent, status))

    user = post("/api/v1/auth/users", models.RegistrationBody(**ACCOUNT), models.UserBody)
    assert user.username == "tess"
    login = models.LoginBody(username="tess", password=ACCOUNT["password"])
    client.token = post("/api/v1/auth/login", login, models.LoginResponseBody, 200).access

    schedule = post("/api/v1/schedules", models.NewSchedule(**SCHEDULE), models.ScheduleBody)
    assert schedule.next_run_time.tzinfo is not None

    assert post("/api/v1/goals", models.NewGoal(**GOAL), models.GoalBody).goal_num == 1
    entries = "/api/v1/goals/1/progress"
    entry = post(entries, models.NewProgressEntry(**ENTRY), models.GoalProgressBody)
    found = client.get(f"/api/v1/summary/range?first={entry.local_day}&last={entry.local_day}")
    assert models.SummaryRangeBody.model_validate(found).total_hours == 1.5

    wrong = models.NewSchedule(**{**SCHEDULE, "cron_expression": "never"})
    problem = post("/api/v1/schedules", wrong, models.Problem, 400)
    assert (problem.status, list(problem.field_errors)) == (400, ["cron_expression"])


def node_modules() -> Path:
    """
    Return the folder of the pinned packages, installed once per user and set of versions.

    Skips the test if node or npm is missing, or fails if they are required.
    """
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    if missing:
        if "node" in os.environ.get("WORKBELL_TEST_REQUIRE", "").split(","):
            pytest.fail(f"required, but not installed: {', '.join(missing)}")
        pytest.skip(f"not installed: {', '.join(missing)}")
    pinned = (PROJECT / "package.json").read_bytes()
    digest = hashlib.sha256(pinned).hexdigest()[:16]
    cached = Path(tempfile.gettempdir()) / f"workbell-npm-{getpass.getuser()}-{digest}"
    if not (cached / "node_modules").is_dir():
        folder = Path(tempfile.mkdtemp(prefix=f"{cached.name}-", dir=cached.parent))
        (folder / "package.json").write_bytes(pinned)
        run(
            "npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts",
            folder=folder,
        )  # fmt: skip
        try:
            folder.rename(cached)
        except OSError:  # a concurrent run has installed them
            shutil.rmtree(folder)
    return cached / "node_modules"


def test_types_by_openapi_typescript(client: Client, document: Path, tmp_path: Path) -> None:
    modules = node_modules()
    folder = tmp_path / "typescript"
    shutil.copytree(PROJECT, folder)
    (folder / "node_modules").symlink_to(modules)
    run(
        modules / ".bin" / "openapi-typescript", document, "--output", "schema.ts",
        "--default-non-nullable=false", folder=folder,
    )  # fmt: skip
    run(modules / ".bin" / "tsc", "--project", ".", folder=folder)
    run("node", "built/drive.js", f"http://127.0.0.1:{client.port}", folder=folder)
