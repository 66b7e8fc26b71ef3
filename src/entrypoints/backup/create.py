"""Backups: database, artifacts and secret key in one ZIP file."""

import hashlib
import os
import sqlite3
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from attrs import frozen
from sqlalchemy import make_url

from workbell.adapters.file_store import LocalFileStore
from workbell.adapters.sql.store import open_store
from workbell.adapters.system import SystemClock, UuidIds
from workbell.domain.errors import Conflict, Invalid, NotFound, Unavailable
from workbell.entrypoints.config.settings import Settings

FORMAT = 1
MANIFEST = "manifest.json"
DATABASE = "workbell.db"
KEY = "secret_key"
ARTIFACTS = "artifacts/"
CHUNK_BYTES = 1024 * 1024

Chunks = Iterable[bytes]
Progress = Callable[[int], None]


class BackupManifest(msgspec.Struct, kw_only=True):
    """Manifest of a backup: checksums, and artifacts without a file."""

    format: int
    release: str
    schema: str
    made_at: datetime
    sha256: dict[str, str]
    missing: list[str]


@frozen
class InstallationPaths:
    """Paths of an installation; `has_own_key` is whether its key is a file."""

    database: Path
    folder: Path
    has_own_key: bool

    @property
    def artifacts(self) -> Path:
        """Folder of the artifacts."""
        return self.folder / "artifacts"

    @property
    def key(self) -> Path:
        """File of the generated secret key."""
        return self.folder / "secret_key"


def installation_paths(settings: Settings) -> InstallationPaths:
    """
    Return the paths of an installation on SQLite.

    Raises:
        Invalid: The database is a server, or in memory.
    """
    url = make_url(settings.database_url)
    if url.get_backend_name() != "sqlite" or not url.database:
        tool = "pg_dump" if url.get_backend_name().startswith("postgres") else "mariadb-dump"
        raise Invalid(
            f"This command is for SQLite. Back up a database server with its own tools ({tool}); "
            "see the operations guide."
        )
    return InstallationPaths(Path(url.database), settings.data_dir, settings.secret_key is None)


def summarise(file: Path, manifest: BackupManifest) -> dict[str, Any]:
    """Return the summary of a backup that the commands print."""
    return {
        "file": str(file),
        "bytes": file.stat().st_size,
        "schema": manifest.schema,
        "release": manifest.release,
        "made_at": manifest.made_at,
        "artifacts": sum(name.startswith(ARTIFACTS) for name in manifest.sha256),
        "missing": len(manifest.missing),
    }


def create(
    paths: InstallationPaths, file: Path, *, force: bool = False, watch: Callable[[int], Progress]
) -> BackupManifest:
    """
    Create a verified backup atomically, also while the service runs.

    `watch` receives the number of steps and returns a function that is called
    with 1 after each. The database is copied first; artifacts that retention
    deletes during the backup are listed as missing.

    Raises:
        NotFound: There is no database.
        Conflict: The file exists and `force` is not set.
        Unavailable: The backup could not be written or verified.
    """
    if not paths.database.exists():
        raise NotFound(f"There is no database {paths.database}.")
    if file.exists() and not force:
        raise Conflict(f"The file {file} exists; --force replaces it.")
    try:
        with tempfile.TemporaryDirectory(prefix=".workbell-", dir=file.absolute().parent) as work:
            draft = Path(work) / "backup"
            manifest = _write_archive(paths, draft, Path(work) / DATABASE, watch)
            verify(draft)
            draft.replace(file)
    except OSError as error:
        raise Unavailable(f"The backup could not be written: {error}") from error
    return manifest


def _write_archive(
    paths: InstallationPaths, draft: Path, copy: Path, watch: Callable[[int], Progress]
) -> BackupManifest:
    clock = SystemClock()
    made_at = clock.now()
    store = open_store(f"sqlite:///{paths.database}", clock)
    try:
        store.backup(copy)
        schema = store.schema_version()
    finally:
        store.close()
    keys = _artifact_keys(copy)
    step_done = watch(len(keys) + 1)
    files = LocalFileStore(paths.artifacts, UuidIds())
    manifest = BackupManifest(
        format=FORMAT, release=version("workbell"), schema=schema, made_at=made_at,
        sha256={}, missing=[],
    )  # fmt: skip
    with (
        os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600), "w+b") as target,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        manifest.sha256[DATABASE] = _add_entry(archive, DATABASE, _read_chunks(copy))
        step_done(1)
        if paths.has_own_key and paths.key.exists():
            manifest.sha256[KEY] = _add_entry(archive, KEY, [paths.key.read_bytes()])
        for key in keys:
            try:
                content = files.read(key)
            except NotFound:
                manifest.missing.append(key)
            else:
                manifest.sha256[ARTIFACTS + key] = _add_entry(archive, ARTIFACTS + key, content)
            step_done(1)
        archive.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
        archive.close()
        target.flush()
        os.fsync(target.fileno())
    return manifest


def _artifact_keys(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as db:
        tables = db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'workbell_artifacts'")
        if not tables.fetchone()[0]:
            return []
        names = "SELECT DISTINCT key FROM workbell_artifacts WHERE name NOT LIKE '/%' ORDER BY key"
        return [key for (key,) in db.execute(names)]


def _add_entry(archive: zipfile.ZipFile, name: str, content: Chunks) -> str:
    digest = hashlib.sha256()
    with archive.open(name, "w", force_zip64=True) as entry:
        for chunk in content:
            digest.update(chunk)
            entry.write(chunk)
    return digest.hexdigest()


def _read_chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def verify(file: Path) -> BackupManifest:
    """
    Read a backup and compare all entries with its manifest.

    Raises:
        NotFound: There is no such file.
        Invalid: The file is no backup, has a newer format, or is damaged.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            manifest = msgspec.json.decode(archive.read(MANIFEST), type=BackupManifest)
            if manifest.format > FORMAT:
                raise Invalid(f"{file} was written by a newer release, {manifest.release}.")
            if set(archive.namelist()) != {*manifest.sha256, MANIFEST}:
                raise Invalid(f"{file} is damaged: its entries differ from its manifest.")
            for name, sha256 in manifest.sha256.items():
                with archive.open(name) as entry:
                    digest = hashlib.file_digest(entry, "sha256")  # type: ignore[arg-type]
                if digest.hexdigest() != sha256:
                    raise Invalid(f"{file} is damaged: the checksum of {name} is wrong.")
    except FileNotFoundError as error:
        raise NotFound(f"There is no file {file}.") from error
    except (zipfile.BadZipFile, zlib.error, msgspec.DecodeError, KeyError, EOFError) as error:
        raise Invalid(f"{file} is not a backup, or is damaged: {error}") from error
    return manifest
