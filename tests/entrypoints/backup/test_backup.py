"""Backup and restore are atomic and overwrite no file unasked."""

import json
import sqlite3
import zipfile
from contextlib import closing
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from attrs import define
from click.testing import CliRunner, Result

import workbell
from workbell.entrypoints.cli.main import main


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the data folder of an installation that is not created yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WORKBELL_DATABASE_URL", raising=False)
    monkeypatch.setenv("WORKBELL_DATA_DIR", str(tmp_path / "home"))
    return tmp_path / "home"


def run(*words: str) -> Result:
    """Run a command."""
    return CliRunner().invoke(main, list(words), catch_exceptions=False)


def run_job(home: Path, rows: int = 10) -> None:
    """Run a job that stores an artifact."""
    run("migrate")
    with workbell.open(f"sqlite:///{home / 'workbell.db'}", data_dir=home) as client:
        client.jobs.enqueue("data.process", {"dataset_size": rows, "processing_type": "simple"})
        client.run_until_idle()


def job_count(home: Path) -> int:
    """Return the number of jobs in the database."""
    with closing(sqlite3.connect(home / "workbell.db")) as db:
        return int(db.execute("SELECT count(*) FROM workbell_jobs").fetchone()[0])


def artifacts(home: Path) -> set[str]:
    """Return the file names of all artifacts."""
    return {path.name for path in (home / "artifacts").rglob("*") if path.is_file()}


def test_a_backup_of_an_open_database_restores_everything(home: Path) -> None:
    run_job(home)
    before, key = artifacts(home), (home / "secret_key").read_bytes()
    with workbell.open(f"sqlite:///{home / 'workbell.db'}", data_dir=home):
        backup = json.loads(run("backup", "copy.zip", "--json").output)
    assert backup["artifacts"] == len(before) > 0
    assert backup["missing"] == 0
    assert (Path("copy.zip").stat().st_mode & 0o777) == 0o600

    run_job(home, rows=20)
    (home / "secret_key").write_text("x" * 40)
    assert job_count(home) == 2
    restored = json.loads(run("restore", "copy.zip", "--force", "--json").output)

    assert job_count(home) == 1
    assert artifacts(home) == before
    assert (home / "secret_key").read_bytes() == key
    assert len(restored["set_aside"]) == 3
    (aside,) = (Path(path) for path in restored["set_aside"] if "workbell.db" in path)
    with closing(sqlite3.connect(aside)) as db:
        assert db.execute("SELECT count(*) FROM workbell_jobs").fetchone() == (2,)
    assert run("jobs", "show", "1").exit_code == 0
    assert not [path for path in home.iterdir() if path.name.startswith(".restore")]


def test_files_are_overwritten_only_with_force(home: Path) -> None:
    run_job(home)
    assert run("backup", "copy.zip").exit_code == 0
    again = run("backup", "copy.zip")
    assert again.exit_code == 1
    assert "--force" in again.stderr
    assert run("backup", "copy.zip", "--force").exit_code == 0
    over = run("restore", "copy.zip")
    assert over.exit_code == 1
    assert "--force" in over.stderr
    assert job_count(home) == 1


def test_a_database_in_use_is_not_replaced(home: Path) -> None:
    run_job(home)
    run("backup", "copy.zip")
    with workbell.open(f"sqlite:///{home / 'workbell.db'}", data_dir=home):
        refused = run("restore", "copy.zip", "--force")
    assert refused.exit_code == 1
    assert "stop the service first" in refused.stderr
    assert run("restore", "copy.zip", "--force").exit_code == 0


def test_a_backup_is_restored_to_a_new_machine_and_over_a_damaged_file(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_job(home)
    run("backup", "copy.zip")
    other = tmp_path / "other"
    monkeypatch.setenv("WORKBELL_DATA_DIR", str(other))
    assert run("restore", "copy.zip").exit_code == 0
    assert job_count(other) == 1
    assert (other / "workbell.db").stat().st_mode & 0o777 == 0o600
    (other / "workbell.db").write_bytes(b"no database at all" * 100)
    (other / "workbell.db-wal").write_bytes(b"of the damaged one")
    assert run("restore", "copy.zip", "--force").exit_code == 0
    assert job_count(other) == 1
    assert not (other / "workbell.db-wal").exists()


def test_a_restore_deletes_our_redis_keys(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of other programs remain; an unavailable Redis does not stop the restore."""
    monkeypatch.setenv("WORKBELL_SECRET_KEY", "k" * 32)
    run_job(home)
    run("backup", "copy.zip")
    monkeypatch.setenv("WORKBELL_REDIS_URL", "redis://127.0.0.1:1/0")
    unavailable = json.loads(run("restore", "copy.zip", "--force", "--json").output)
    assert unavailable["redis"] == "unavailable: flush it before you start the service"

    client = FakeRedis({b"workbell:cache:summary", b"workbell:limits:x", b"another:key"})
    monkeypatch.setattr("redis.Redis.from_url", lambda *_, **__: client)
    again = run("restore", "copy.zip", "--force", "--json")
    assert again.exit_code == 0, again.output
    assert json.loads(again.output)["redis"] == "flushed", again.output
    assert client.keys == {b"another:key"}


@define
class FakeRedis:
    """The part of a Redis client that a restore uses."""

    keys: set[bytes]

    def scan_iter(self, pattern: str) -> list[bytes]:
        return [key for key in self.keys if fnmatchcase(key, pattern.encode())]

    def delete(self, key: bytes) -> None:
        self.keys.remove(key)

    def close(self) -> None:
        """Do nothing."""


def test_an_artifact_without_a_file_is_listed_as_missing(home: Path) -> None:
    run_job(home)
    for path in (home / "artifacts").rglob("*"):
        if path.is_file():
            path.unlink()
    assert json.loads(run("backup", "copy.zip", "--json").output)["missing"] >= 1


def _rewrite(source: Path, target: Path, change: Any) -> None:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)


def test_a_damaged_or_newer_backup_is_refused(home: Path) -> None:
    run_job(home)
    run("backup", "good.zip")
    good = Path("good.zip")

    def newer(name: str, content: bytes) -> bytes:
        return (
            content.replace(b'"format": 1', b'"format": 9') if name == "manifest.json" else content
        )

    def later(name: str, content: bytes) -> bytes:
        if name != "manifest.json":
            return content
        return json.dumps({**json.loads(content), "schema": "9999"}).encode()

    def torn(name: str, content: bytes) -> bytes:
        return content[:-1] if name == "workbell.db" else content

    def short(name: str, content: bytes) -> bytes | None:
        return None if name == "secret_key" else content

    for change, words in (
        (newer, "newer release"),
        (later, "newer than this program"),
        (torn, "the checksum of workbell.db is wrong"),
        (short, "entries differ"),
    ):
        _rewrite(good, Path("bad.zip"), change)
        refused = run("restore", "bad.zip", "--force")
        assert refused.exit_code == 2
        assert words in refused.stderr
    Path("bad.zip").write_bytes(good.read_bytes()[:-200])
    assert "not a backup" in run("restore", "bad.zip", "--force").stderr
    assert run("restore", "nowhere.zip").exit_code == 2
    assert job_count(home) == 1


def test_backing_up_a_server_or_no_database_exits_with_2(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "There is no database" in run("backup", "copy.zip").stderr
    monkeypatch.setenv("WORKBELL_SECRET_KEY", "k" * 40)
    for url, tool in (("postgresql://x/y", "pg_dump"), ("mysql://x/y", "mariadb-dump")):
        monkeypatch.setenv("WORKBELL_DATABASE_URL", url)
        for command in ("backup", "restore"):
            refused = run(command, "copy.zip")
            assert refused.exit_code == 2
            assert tool in refused.stderr
    monkeypatch.delenv("WORKBELL_DATABASE_URL")
    assert not home.exists() or not (home / "workbell.db").exists()
