"""Restores: a backup replaces the files of an installation."""

import re
import sqlite3
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from shutil import copyfileobj
from typing import Any

from workbell.adapters.sql.schema import upgrade as revisions
from workbell.adapters.system import SystemClock
from workbell.domain.errors import Conflict, Invalid, Unavailable
from workbell.entrypoints.backup.create import (
    ARTIFACTS,
    DATABASE,
    KEY,
    BackupManifest,
    InstallationPaths,
    verify,
)

_FILE_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LOG_SUFFIXES = ("-wal", "-shm", "-journal")
_IN_USE = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def flush_redis(url: str) -> str:
    """Delete our keys in Redis, newer than the backup; return the outcome."""
    from redis import Redis, RedisError

    from workbell.adapters.redis_client import options

    client: Any = Redis.from_url(url, **options(2.0))
    try:
        with closing(client):
            for key in client.scan_iter("workbell:*"):
                client.delete(key)
    except RedisError:
        return "unavailable: flush it before you start the service"
    return "flushed"


def restore(
    file: Path, paths: InstallationPaths, *, force: bool = False
) -> tuple[BackupManifest, list[str]]:
    """
    Verify a backup and replace the files of an installation.

    Existing files are renamed; returns the manifest and their new names.

    Raises:
        NotFound: There is no such file.
        Invalid: The file is no backup, or is damaged.
        Conflict: A database exists and `force` is not set, or it is in use.
        Unavailable: The backup's schema is newer than this release, or a
            folder cannot be written.
    """
    manifest = verify(file)
    revisions.refuse_newer(manifest.schema or None)
    if paths.database.exists() and not force:
        raise Conflict(f"The database {paths.database} exists; --force renames it and restores.")
    stamp = f"{SystemClock().now():%Y%m%dT%H%M%S.%fZ}.old"
    try:
        for folder in (paths.folder, paths.database.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (
            _exclusive_access(paths.database),
            tempfile.TemporaryDirectory(prefix=".restore-", dir=paths.folder) as work,
            tempfile.TemporaryDirectory(prefix=".restore-", dir=paths.database.parent) as beside,
            zipfile.ZipFile(file) as archive,
        ):
            _unpack(archive, manifest, Path(work), Path(beside))
            aside = _swap_files(paths, Path(work), Path(beside), stamp)
    except OSError as error:
        raise Unavailable(f"The backup could not be restored: {error}") from error
    return manifest, aside


@contextmanager
def _exclusive_access(database: Path) -> Iterator[None]:
    """
    Lock a database exclusively; raises Conflict if a process has it open.

    Only the single connection of a database can turn off its write-ahead log.
    A file too damaged to be opened has no users.
    """
    if not database.exists():
        yield
        return
    with closing(sqlite3.connect(database, timeout=0.5, isolation_level=None)) as db:
        try:
            db.execute("PRAGMA journal_mode=DELETE")
            db.execute("BEGIN EXCLUSIVE")
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _IN_USE:
                raise Conflict(f"A process is using {database}: stop the service first.") from error
        yield


def _unpack(archive: zipfile.ZipFile, manifest: BackupManifest, work: Path, beside: Path) -> None:
    (work / "artifacts").mkdir()
    for name in manifest.sha256:
        path = _target(name, work, beside)
        path.touch(mode=0o600, exist_ok=False)
        with archive.open(name) as source, path.open("wb") as target:
            copyfileobj(source, target)
    copy = beside / DATABASE
    with closing(sqlite3.connect(copy)) as db:
        (answer,) = db.execute("PRAGMA integrity_check").fetchone()
    if answer != "ok":
        raise Invalid(f"The backup's database is damaged: {answer}")


def _target(name: str, work: Path, beside: Path) -> Path:
    if name == DATABASE:
        return beside / DATABASE
    if name == KEY:
        return work / KEY
    key = name.removeprefix(ARTIFACTS)
    if not name.startswith(ARTIFACTS) or not _FILE_KEY.fullmatch(key):
        raise Invalid(f"The backup holds an unknown entry, {name!r:.80}.")
    folder = work / "artifacts" / key[-2:]
    folder.mkdir(exist_ok=True)
    return folder / key


def _swap_files(paths: InstallationPaths, work: Path, beside: Path, stamp: str) -> list[str]:
    """Rename existing files and move the restored ones in, the database last."""
    aside: list[str] = []

    def set_aside(path: Path) -> None:
        if path.exists():
            new_name = path.with_name(f"{path.name}.{stamp}")
            path.rename(new_name)
            aside.append(str(new_name))

    set_aside(paths.artifacts)
    (work / "artifacts").rename(paths.artifacts)
    key = work / KEY
    if paths.has_own_key and key.exists():
        if paths.key.exists() and paths.key.read_bytes() == key.read_bytes():
            key.unlink()
        else:
            set_aside(paths.key)
            key.rename(paths.key)
    for suffix in _LOG_SUFFIXES:  # SQLite would replay an old log onto the restored database
        set_aside(paths.database.with_name(paths.database.name + suffix))
    set_aside(paths.database)
    (beside / DATABASE).rename(paths.database)
    return aside
