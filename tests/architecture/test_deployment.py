"""Image, compose files and units use existing commands and settings."""

import re
import shutil
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest
from attrs import fields

from workbell.entrypoints.cli.main import main
from workbell.entrypoints.config.option import PREFIX, variable
from workbell.entrypoints.config.settings import Settings

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))
KNOWN = {variable(field.name) for field in fields(Settings)}
DOCKERFILE = (ROOT / "Dockerfile").read_text()
STAGE = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]

pytestmark = pytest.mark.unit


def composed(name: str) -> dict[str, Any]:
    """Return the services of a compose file."""
    yaml: Any = import_module("yaml")
    found: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())["services"]
    return found


def accepts(line: list[str]) -> bool:
    """Whether the command line accepts a command with its arguments."""
    command = main.commands[line[0]]
    with click.Context(main) as root, command.make_context(line[0], line[1:], parent=root):
        return True


SERVICES = composed("compose.yaml")
OURS = {name: one for name, one in SERVICES.items() if one["image"] == "workbell"}


@pytest.mark.parametrize("name", ["compose.yaml", "compose.prod.yaml"])
def test_services_use_existing_commands_and_settings(name: str) -> None:
    for service in composed(name).keys() & OURS.keys():
        overrides = composed(name)[service]
        assert {key for key in overrides.get("environment", {}) if key.startswith(PREFIX)} <= KNOWN
        assert accepts(overrides.get("command", OURS[service]["command"]))


def test_production_overrides_existing_services() -> None:
    production = composed("compose.prod.yaml")
    assert production.keys() <= SERVICES.keys()
    for name in OURS:
        assert production[name]["read_only"] and production[name]["cap_drop"] == ["ALL"]
        secret = production[name]["environment"]["WORKBELL_SECRET_KEY"]
        assert secret.startswith("${WORKBELL_SECRET_KEY:?"), "a secret must be given"


def test_workers_and_schedulers_can_be_scaled() -> None:
    for name in ("worker", "scheduler"):
        assert not {"container_name", "ports", "hostname"} & SERVICES[name].keys()


def test_health_checks_use_the_right_ports() -> None:
    for name in ("worker", "scheduler"):
        port = SERVICES[name]["environment"]["WORKBELL_METRICS_PORT"]
        assert f"127.0.0.1:{port}/readyz" in SERVICES[name]["healthcheck"]["test"][-1]
    assert "127.0.0.1:${WORKBELL_PORT:-8000}/readyz" in STAGE
    assert "healthcheck" not in SERVICES["api"]
    assert SERVICES["redis"]["healthcheck"]


def test_the_health_check_of_postgresql_uses_tcp() -> None:
    """The image first starts a temporary server that listens on the socket only."""
    command = SERVICES["postgres"]["healthcheck"]["test"]
    assert command[:4] == ["CMD", "pg_isready", "-h", "127.0.0.1"]


def test_all_services_wait_for_the_migration() -> None:
    for name in OURS.keys() - {"migrate"}:
        waits = SERVICES[name]["depends_on"]
        assert waits["migrate"]["condition"] == "service_completed_successfully"
    assert SERVICES["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"


def test_stop_timeouts_exceed_the_grace_of_jobs() -> None:
    grace = Settings().shutdown_grace_seconds
    assert all(int(one["stop_grace_period"].rstrip("s")) > grace for one in OURS.values())
    for unit in UNITS:
        (stop,) = re.findall(r"TimeoutStopSec=(\d+)", unit.read_text())
        assert int(stop) > grace


def test_the_image_runs_as_an_unprivileged_user() -> None:
    assert DOCKERFILE.count("\nFROM ") == 2
    (user,) = re.findall(r"^USER (\d+)", STAGE, re.MULTILINE)
    assert int(user) > 0
    assert 'ENTRYPOINT ["workbell"]\nCMD ["up"]' in STAGE
    assert "WORKBELL_HOST=0.0.0.0" in STAGE
    assert set(re.findall(rf"({PREFIX}[A-Z_]+)=", DOCKERFILE)) <= KNOWN
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    assert all((ROOT / name).exists() for names in copied for name in names.split())


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_use_existing_commands_and_settings(unit: Path) -> None:
    text = unit.read_text()
    (line,) = re.findall(r"^ExecStart=/opt/workbell/bin/workbell (.+)$", text, re.MULTILINE)
    assert accepts(line.split())
    assert set(re.findall(rf"({PREFIX}[A-Z_]+)=", text)) <= KNOWN


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    """User and program are replaced by existing ones."""
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not installed")
    for unit in UNITS:
        text = re.sub(r"^(User|Group)=.*$", r"\1=root", unit.read_text(), flags=re.MULTILINE)
        (tmp_path / unit.name).write_text(text.replace("/opt/workbell/bin/workbell", "/bin/true"))
        done = subprocess.run(
            [verify, "verify", tmp_path / unit.name], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 and unit.name not in done.stderr, done.stderr
