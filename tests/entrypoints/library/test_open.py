"""Opening a client: sources of settings, and migration."""

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
    """Work in an empty folder without settings in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WORKBELL_DATABASE_URL", raising=False)
    monkeypatch.delenv("WORKBELL_SECRET_KEY", raising=False)


def open_and_close(*arguments: Any, **settings: Any) -> list[dict[str, Any]]:
    """Open and close a client; return the migrations that it logged."""
    with capture_logs() as lines, workbell.open(*arguments, **settings) as client:
        client.jobs.find()
    return [dict(line) for line in lines if line["event"] == "schema_migrated"]


@pytest.mark.unit
def test_the_environment_sets_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBELL_DATABASE_URL", "sqlite:///of_the_environment.db")
    open_and_close()
    assert Path("of_the_environment.db").exists()


@pytest.mark.unit
def test_the_default_database_is_that_of_the_commands() -> None:
    open_and_close()
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
def test_an_invalid_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBELL_LEASE_SECONDS", "soon")
    with pytest.raises(Invalid, match="WORKBELL_LEASE_SECONDS: must be a whole number"):
        open_and_close("memory://")


@pytest.mark.unit
def test_sqlite_is_migrated_once_and_the_migration_is_logged() -> None:
    (line,) = open_and_close("sqlite:///a.db")
    assert (line["from_revision"], line["to_revision"]) == (None, "0001")
    assert open_and_close("sqlite:///a.db") == []
    assert open_and_close("memory://") == []


@pytest.mark.unit
def test_a_check_migrates_nothing() -> None:
    with pytest.raises(Unavailable, match="run `workbell migrate` first"):
        open_and_close("sqlite:///a.db", migrate="check")
    open_and_close("sqlite:///a.db", migrate="auto")
    assert open_and_close("sqlite:///a.db", migrate="check") == []


@pytest.mark.unit
def test_an_unknown_migrate_option_is_refused() -> None:
    with pytest.raises(Invalid, match="must be 'auto' or 'check', not 'never'"):
        open_and_close("memory://", migrate="never")
    assert not Path(".workbell").exists()


@pytest.mark.unit
def test_only_postgresql_accepts_a_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Invalid, match=r"WORKBELL_DATABASE_SCHEMA: .*only PostgreSQL has schemas"):
        open_and_close("sqlite:///a.db", database_schema="workbell")
    monkeypatch.setenv("WORKBELL_DATABASE_SCHEMA", "Workbell; DROP")
    with pytest.raises(Invalid, match="WORKBELL_DATABASE_SCHEMA: must start with a-z"):
        open_and_close("postgresql://127.0.0.1/none")


@pytest.mark.integration
@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_is_checked_and_needs_no_signing_key(kind: str) -> None:
    made = new_database(kind)
    try:
        with pytest.raises(Unavailable, match=r"has schema none .* run `workbell migrate` first"):
            open_and_close(address(made))
        assert len(open_and_close(address(made), migrate="auto")) == 1
        assert open_and_close(address(made)) == []
    finally:
        drop_database(kind, str(made.database))


@pytest.mark.integration
def test_the_tables_of_postgresql_go_to_the_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    made = new_database("postgresql")
    monkeypatch.setenv("WORKBELL_DATABASE_SCHEMA", "background")
    try:
        open_and_close(address(made), migrate="auto")
        engine = create_engine(made)
        with engine.connect() as db:
            assert "workbell_jobs" in inspect(db).get_table_names(schema="background")
            assert inspect(db).get_table_names() == []
        engine.dispose()
    finally:
        drop_database("postgresql", str(made.database))
