"""`workbell audit`: verification, checkpoints and erasure."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from attrs import evolve
from click.testing import CliRunner, Result

from workbell.domain.identity.actor import Actor, ClientInfo
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.cli.main import main
from workbell.entrypoints.config.settings import Settings

Run = Callable[..., Result]
SENTENCE = "The personal data of {} entries was erased.\n"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command in a folder with a sealed log of five entries."""
    monkeypatch.chdir(tmp_path)
    for name in ("WORKBELL_DATABASE_URL", "WORKBELL_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    with closing(build(Settings())) as application:
        application.migrate_and_register()
        user = application.identity.create_superuser("ann", "ann@example.org", "correct horse 7")
        actor = Actor.of(user, client_info=ClientInfo(address="192.0.2.1"))
        for number in range(1, 5):
            active = bool(number % 2 == 0)
            application.definitions.set_active(
                actor, application.definitions.all()[0].id, active=active
            )
        sealer = application.audit.sealer
        later = application.clock.now() + timedelta(minutes=1)
        evolve(sealer, clock=FixedClock(later)).seal()

    def invoke(*words: str) -> Result:
        return CliRunner().invoke(main, ["audit", *words], catch_exceptions=False)

    return invoke


class FixedClock:
    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at


def change(statement: str) -> None:
    with closing(sqlite3.connect(Settings().data_dir / "workbell.db")) as database, database:
        assert database.execute(statement).rowcount > 0


def test_an_intact_log_exits_with_0(run: Run) -> None:
    result = run("verify", "--json")
    assert result.exit_code == 0
    report = json.loads(result.output)
    assert (report["intact"], report["verified"], report["unsealed"]) == (True, 5, 0)
    assert report["checkpoints"] == 1
    assert "verified" in run("verify").output


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE workbell_audit SET changes = '{}' WHERE seal_seq = 3",
        "DELETE FROM workbell_audit WHERE seal_seq = 3",
        "UPDATE workbell_audit_private SET address = '192.0.2.9' WHERE audit_id = 3",
    ],
)
def test_a_broken_log_exits_with_1_and_names_the_entry(run: Run, statement: str) -> None:
    change(statement)
    result = run("verify", "--json")
    assert result.exit_code == 1
    assert json.loads(result.output)["first_bad_number"] == 3


def test_a_truncation_with_head_and_checkpoints_is_found_by_the_file(run: Run) -> None:
    change("DELETE FROM workbell_audit WHERE seal_seq > 3")
    change("DELETE FROM workbell_audit_checkpoints")
    change(
        "UPDATE workbell_audit_chain SET seal_seq = 3,"
        " hash = (SELECT hash FROM workbell_audit WHERE seal_seq = 3)"
    )
    result = run("verify", "--json")
    assert (result.exit_code, json.loads(result.output)["first_bad_number"]) == (1, 4)


def test_exported_checkpoints_are_verified(run: Run, tmp_path: Path) -> None:
    assert run("checkpoints", "--output", "exported.jsonl").exit_code == 0
    assert (tmp_path / "exported.jsonl").read_text() == run("checkpoints").output
    assert run("verify", "--checkpoints", "exported.jsonl").exit_code == 0
    text = Path("exported.jsonl").read_text()
    Path("exported.jsonl").write_text(text.replace('"seal_seq":5', '"seal_seq":4'))
    assert run("verify", "--checkpoints", "exported.jsonl").exit_code == 1
    Path("exported.jsonl").write_text("nonsense\n")
    assert run("verify", "--checkpoints", "exported.jsonl").exit_code == 2
    assert run("verify", "--checkpoints", "missing").exit_code == 2


def test_personal_data_is_erased(run: Run) -> None:
    assert run("erase", "--user", "ann").output == SENTENCE.format(5)
    assert run("erase", "--user", "ann@example.org").output == SENTENCE.format(0)
    report = json.loads(run("verify", "--json").output)
    assert (report["intact"], report["erased"]) == (True, 5)
    assert run("erase", "--user", "nobody").exit_code == 2


def test_an_incomplete_last_line_of_the_file_is_ignored_and_replaced(run: Run) -> None:
    path = Settings().data_dir / "audit-checkpoints.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"seal_seq":9')
    assert run("verify").exit_code == 0
    with closing(build(Settings())) as application:
        log = application.audit.sealer.log
        [checkpoint] = log.read()
        log.append(checkpoint)
    assert path.read_bytes() == whole * 2
    path.write_bytes(b"{}\n" + whole)
    assert run("verify").exit_code == 2
