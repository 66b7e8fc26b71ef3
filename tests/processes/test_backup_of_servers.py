"""The commands of the operations guide back up and restore a database server."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from attrs import define
from redis import Redis
from sqlalchemy import URL, create_engine, select

from tests.contract.servers import address, admin_url, drop_database
from tests.processes.fleet import SECRET, Fleet, OwnRedis
from workbell.adapters.sql.schema.tables import metadata
from workbell.domain.identity.actor import SYSTEM
from workbell.domain.jobs.job import JobId
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.config.settings import Settings

pytestmark = pytest.mark.integration

GUIDE = Path(__file__).parents[2] / "docs/operations.md"
HEADINGS = {"postgresql": "PostgreSQL", "mariadb": "MySQL, MariaDB"}
TOOLS = {
    "postgresql": {"pg_dump", "pg_restore", "createdb", "redis-cli"},
    "mariadb": {"mariadb-dump", "mariadb", "redis-cli"},
}


def commands_of(chapter: str, heading: str) -> str:
    """Return the commands below a heading of a chapter of the guide."""
    _, _, text = GUIDE.read_text().partition(f"\n## {chapter}\n")
    _, _, text = text.partition("\n## ")[0].partition(f"**{heading}.**")
    found = re.search(r"```\n(.+?)```", text, re.DOTALL)
    assert found, (chapter, heading)
    return found[1]


@define
class Shell:
    """A shell with the environment of an administrator."""

    kind: str
    folder: Path
    redis_url: str

    def run(self, commands: str, url: URL) -> None:
        """Run commands of the guide on the database of a URL."""
        assert url.database
        if self.kind == "mariadb":
            commands = re.sub(r"(?<=[ ])workbell(?=[ \"\n])", url.database, commands)
        else:
            commands = commands.replace("createdb workbell\n", f"createdb {url.database}\n")
        plain = url.set(drivername="postgresql")
        environ = {
            "PATH": f"{os.environ['PATH']}:/usr/sbin",
            "DATABASE_URL": plain.render_as_string(hide_password=False),
            "WORKBELL_REDIS_URL": self.redis_url,
            "PGHOST": url.host or "",
            "PGPORT": str(url.port or 5432),
            "PGUSER": url.username or os.environ.get("USER", "postgres"),
            "PGPASSWORD": str(url.password or ""),
        }
        option_file = f"[client]\nhost={url.host}\nport={url.port or 3306}\nuser={url.username}\n"
        option_file += f"password={url.password}\n" if url.password else ""
        (self.folder / "workbell.cnf").write_text(option_file)
        subprocess.run(
            ["bash", "-euxo", "pipefail", "-c", commands],
            cwd=self.folder,
            env=environ,
            check=True,
            timeout=60,
        )


def rows_of(url: URL) -> dict[str, list[Any]]:
    """Return every row of every table."""
    engine = create_engine(url)
    try:
        with engine.connect() as db:
            return {
                table.name: sorted(map(repr, db.execute(select(table)).all()))
                for table in metadata.sorted_tables
            }
    finally:
        engine.dispose()


def test_the_commands_of_the_guide_restore_every_row(
    fleet: Fleet, kind: str, redis: OwnRedis, tmp_path: Path
) -> None:
    missing = {name for name in TOOLS[kind] if shutil.which(name) is None}
    if missing and not os.environ.get("WORKBELL_TEST_REQUIRE"):
        pytest.skip(f"{missing} are not installed")
    application = fleet.application
    application.ensure_administrator()
    job = fleet.enqueue("touch", file="ünïcødé – \\ ' \" \n \U0001f6ce")
    application.cache.put("summary:1:2", {"is": "of a time to come"}, seconds=3600)
    source = admin_url(kind).set(database=fleet.database_url.rpartition("/")[2].partition("?")[0])
    target = source.set(database=f"{source.database}_back")
    before = rows_of(source)
    assert all(before[f"workbell_{name}"] for name in ("jobs", "users", "audit"))
    shell = Shell(kind, tmp_path, redis.url)

    shell.run(commands_of("Back up", HEADINGS[kind]), source)
    fleet.enqueue("touch", file="after the backup")
    try:
        shell.run(commands_of("Restore", HEADINGS[kind]), target)
        shell.run(commands_of("Restore", "Redis"), target)
        assert rows_of(target) == before
        with Redis.from_url(redis.url) as here:
            assert here.dbsize() == 0
        again = build(Settings(database_url=address(target), secret_key=SECRET, data_dir=tmp_path))
        again.migrate_and_register()
        assert again.jobs.get(SYSTEM, JobId(job.id)) == job
        again.close()
    finally:
        assert target.database
        drop_database(kind, target.database)
