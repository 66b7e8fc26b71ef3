"""Opening the library: where settings come from, and who migrates."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect
from structlog.testing import capture_logs

import workbell
from tests.contract.servers import SERVERS, address, drop_database, new_database
from workbell.domain.errors import Invalid, Unavailable


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, with the settings of the tests only."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WORKBELL_DATABASE_URL", raising=False)
    monkeypatch.delenv("WORKBELL_SECRET_KEY", raising=False)


def opened(*arguments: Any, **settings: Any) -> list[dict[str, Any]]:
    """Open and close Workbell; return the migrations that it logged."""
    with capture_logs() as lines, workbell.open(*arguments, **settings) as client:
        client.jobs.find()
    return [dict(line) for line in lines if line["event"] == "schema_migrated"]


@pytest.mark.unit
def test_the_environment_says_which_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBELL_DATABASE_URL", "sqlite:///of_the_environment.db")
    opened()
    assert Path("of_the_environment.db").exists()


@pytest.mark.unit
def test_without_settings_it_is_the_database_of_the_commands() -> None:
    opened()
    assert Path(".workbell/workbell.db").exists()


@pytest.mark.unit
def test_an_argument_takes_precedence_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBELL_DATABASE_URL", "nonsense")
    monkeypatch.setenv("WORKBELL_LEASE_SECONDS", "77")
    with workbell.open("sqlite:///given.db") as client:
        assert client.application.settings.lease_seconds == 77
    with workbell.open("sqlite:///given.db", lease_seconds=9) as client:
        assert client.application.settings.lease_seconds == 9


@pytest.mark.unit
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBELL_LEASE_SECONDS", "soon")
    with pytest.raises(Invalid, match="WORKBELL_LEASE_SECONDS: must be a whole number"):
        opened("memory://")


@pytest.mark.unit
def test_sqlite_is_migrated_once_and_says_so() -> None:
    (line,) = opened("sqlite:///a.db")
    assert (line["from_revision"], line["to_revision"]) == (None, "0001")
    assert opened("sqlite:///a.db") == []
    assert opened("memory://") == []


@pytest.mark.unit
def test_standard_output_is_left_to_the_program() -> None:
    program = "import workbell\nwith workbell.open('sqlite:///b.db'): print('mine')"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout == "mine\n"
    assert ran.stderr.count("schema_migrated") == 1


@pytest.mark.unit
def test_a_check_migrates_nothing() -> None:
    with pytest.raises(Unavailable, match="run `workbell migrate` first"):
        opened("sqlite:///a.db", migrate="check")
    opened("sqlite:///a.db", migrate="auto")
    assert opened("sqlite:///a.db", migrate="check") == []


@pytest.mark.unit
def test_another_word_is_refused() -> None:
    with pytest.raises(Invalid, match="must be 'auto' or 'check', not 'never'"):
        opened("memory://", migrate="never")
    assert not Path(".workbell").exists()


@pytest.mark.unit
def test_a_schema_is_for_postgresql_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Invalid, match=r"WORKBELL_DATABASE_SCHEMA: .*only PostgreSQL has schemas"):
        opened("sqlite:///a.db", database_schema="workbell")
    monkeypatch.setenv("WORKBELL_DATABASE_SCHEMA", "Workbell; DROP")
    with pytest.raises(Invalid, match="WORKBELL_DATABASE_SCHEMA: must begin with a letter"):
        opened("postgresql://127.0.0.1/none")


@pytest.mark.integration
@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_is_checked_and_needs_no_signing_key(kind: str) -> None:
    made = new_database(kind)
    try:
        with pytest.raises(Unavailable, match=r"has schema none .* run `workbell migrate` first"):
            opened(address(made))
        assert len(opened(address(made), migrate="auto")) == 1
        assert opened(address(made)) == []
    finally:
        drop_database(kind, str(made.database))


@pytest.mark.integration
def test_the_tables_of_postgresql_go_to_the_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    made = new_database("postgresql")
    monkeypatch.setenv("WORKBELL_DATABASE_SCHEMA", "background")
    try:
        opened(address(made), migrate="auto")
        engine = create_engine(made)
        with engine.connect() as db:
            assert "workbell_jobs" in inspect(db).get_table_names(schema="background")
            assert inspect(db).get_table_names() == []
        engine.dispose()
    finally:
        drop_database("postgresql", str(made.database))
