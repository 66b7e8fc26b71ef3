"""Kill the service again and again under load, then account for everything."""

import hashlib
import random
import socket
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from attrs import asdict, define, field

from tests.faults.service import PASSWORD, GoneError, Service

PATIENCE = 60.0


@define
class Report:
    """What the kills have left behind; all but the first three must be 0 or true."""

    kills: int
    accepted: int = 0
    attempts: int = 0
    lost: int = 0
    unfinished: int = 0
    doubled: int = 0
    over_the_limit: int = 0
    torn_files: int = 0
    ticks_doubled: int = 0
    intact: bool = True

    @property
    def clean(self) -> bool:
        """Whether every promise was kept."""
        broken = (
            self.lost, self.unfinished, self.doubled, self.over_the_limit, self.torn_files,
            self.ticks_doubled,
        )  # fmt: skip
        return self.intact and not any(broken) and self.accepted > 0


@define
class Load:
    """Clients that keep asking for jobs and schedules, whatever happens."""

    service: Service
    tokens: dict[str, str]
    accepted: list[int] = field(factory=list[int])
    stop: threading.Event = field(factory=threading.Event)
    _threads: list[threading.Thread] = field(factory=list[threading.Thread])

    def start(self) -> None:
        """Start the clients."""
        works = (self._jobs, self._jobs, self._jobs, self._schedules, self._schedules)
        self._threads = [
            threading.Thread(target=work, args=(n,), daemon=True) for n, work in enumerate(works)
        ]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Stop the clients."""
        self.stop.set()
        for thread in self._threads:
            thread.join()

    def _jobs(self, seed: int) -> None:
        chance = random.Random(seed)
        n = 0
        while not self.stop.is_set():
            n += 1
            task = chance.choice(["fault.work", "fault.batch"])
            parameters = {"n": n, "ms": chance.randrange(40)}
            body = {"task_definition": task, "parameters": parameters}
            try:
                status, answer = self.service.call(
                    "POST", "/api/v1/jobs", body, self.tokens["admin"]
                )
            except GoneError:
                time.sleep(0.02)
                continue
            if status == 201:
                self.accepted.append(answer["id"])

    def _schedules(self, seed: int) -> None:
        """Try for more active schedules than are allowed."""
        body = {"task_definition": "fault.batch", "cron_expression": "* * * * *", "parameters": {}}
        while not self.stop.is_set():
            with suppress(GoneError):
                self.service.call("POST", "/api/v1/schedules", body, self.tokens["user"])
            time.sleep(0.05 + seed / 100)


def kill_repeatedly(folder: Path, port: int, kills: int, seed: int = 1) -> Report:
    """Return what is found after so many kills of a service under load."""
    chance = random.Random(seed)
    service = Service(folder, port)
    service.start()
    load = Load(service, tokens(service))
    load.start()
    for n in range(kills):
        time.sleep(chance.uniform(0.2, 1.2))
        service.kill()
        service.start()
        print(f"kill {n + 1} of {kills}: {len(load.accepted)} jobs accepted", file=sys.stderr)
    time.sleep(0.5)
    load.end()
    report = Report(kills, accepted=len(load.accepted))
    wait_until_ended(folder / "data" / "workbell.db")
    service.terminate()
    account(report, folder, load.accepted)
    return report


def tokens(service: Service) -> dict[str, str]:
    """Return access tokens of the administrator and of a regular user."""
    registration = {
        "username": "user",
        "email": "user@example.org",
        "password": PASSWORD,
    }
    status, answer = service.call("POST", "/api/v1/auth/users", registration)
    assert status == 201, answer
    return {"admin": service.login(), "user": service.login("user")}


def wait_until_ended(database: Path) -> None:
    """Wait until no job waits or runs any more, or patience ends."""
    until = time.monotonic() + PATIENCE
    with sqlite3.connect(database) as db:
        while time.monotonic() < until:
            if not db.execute("SELECT 1 FROM jobs WHERE state < 4 LIMIT 1").fetchone():
                return
            time.sleep(0.1)


def account(report: Report, folder: Path, accepted: list[int]) -> None:
    """Fill a report with what the database and the files of a stopped service say."""
    database = folder / "data" / "workbell.db"
    with sqlite3.connect(database) as db:

        def count(query: str) -> int:
            return int(db.execute(query).fetchone()[0])

        kept = {row[0] for row in db.execute("SELECT id FROM jobs")}
        report.lost = len(set(accepted) - kept)
        report.unfinished = count("SELECT count(*) FROM jobs WHERE state <> 4 AND state <> 7")
        report.attempts = count("SELECT count(*) FROM attempts")
        report.doubled = count(
            "SELECT count(*) FROM (SELECT 1 FROM attempts WHERE outcome = 'succeeded' "
            "GROUP BY job_id HAVING count(*) > 1)"
        )
        report.ticks_doubled = count(
            "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE tick IS NOT NULL "
            "GROUP BY schedule_id, tick HAVING count(*) > 1)"
        )
        report.over_the_limit = count(
            "SELECT count(*) FROM (SELECT 1 FROM schedules s JOIN users u ON u.id = s.owner "
            "WHERE s.next_at IS NOT NULL AND s.deleted_at IS NULL AND u.is_super_user = 0 "
            "GROUP BY s.owner HAVING count(*) > 5)"
        )
        report.intact = db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    report.torn_files = sum(_torn(database, folder / "data" / "artifacts"))


def _torn(database: Path, folder: Path) -> Iterator[bool]:
    """Say of each kept artifact whether its file is missing or differs."""
    with sqlite3.connect(database) as db:
        kept = {row[0]: row[1] for row in db.execute("SELECT key, sha256 FROM artifacts")}
    files = {path.name: path for path in folder.rglob("*") if path.is_file()}
    for key, sha256 in kept.items():
        path = files.get(Path(key).name)
        yield path is None or hashlib.sha256(path.read_bytes()).hexdigest() != sha256


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> int:
    """Kill as often as asked, print what was found, and say whether it is clean."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with tempfile.TemporaryDirectory(prefix="workbell-faults-") as scratch:
        report = kill_repeatedly(Path(scratch), free_port(), kills)
    for name, value in figures(report):
        print(f"{name:16} {value}")
    print("clean" if report.clean else "BROKEN")
    return 0 if report.clean else 1


def figures(report: Report) -> Iterator[tuple[str, object]]:
    """Yield the report's figures by name."""
    for name, value in asdict(report).items():
        yield name.replace("_", " "), value


if __name__ == "__main__":
    sys.exit(main())
