"""Backups of files and folders: verified archives, with rotation."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

from attrs import frozen

from workbell.adapters.builtin_tasks import tar_archive as archives
from workbell.adapters.builtin_tasks.allowed_folders import Folders
from workbell.domain.constraints import Constraints
from workbell.domain.errors import Invalid, NotFound, Unavailable
from workbell.domain.identity.actor import Actor
from workbell.domain.jobs.task import Isolation, Task, TaskContext


@frozen(kw_only=True)
class FileBackup:
    """Parameters of File Backup."""

    source_path: Annotated[
        str,
        Constraints(
            min_length=1, max_length=1000, description="A file or folder in an input folder."
        ),
    ]
    destination: Annotated[
        str, Constraints(min_length=1, max_length=1000, description="A folder in a backup folder.")
    ]
    compress: bool = True
    keep: Annotated[
        int | None,
        Constraints(ge=1, le=10_000, description="How many backups of this source to retain."),
    ] = None


@frozen
class FileBackups:
    """Backs up files of the input folders to the backup folders."""

    sources: Folders
    destinations: Folders

    def check(self, _: Actor, parameters: FileBackup) -> None:
        """Raise Invalid for paths outside the configured folders, or equal paths."""
        self._paths(parameters)

    def run(self, context: TaskContext, parameters: FileBackup) -> dict[str, Any]:
        """
        Write an archive to a temporary file, verify it, and rename it.

        Raises:
            Invalid: A path or link leads out of the configured folders.
            NotFound: The source does not exist.
            Unavailable: The source changed or cannot be read, or the
                destination cannot be written; retry later.
        """
        source, destination = self._paths(parameters)
        if not os.path.lexists(source):
            raise NotFound(f"The source {parameters.source_path!r} does not exist.")
        compression = archives.choose_compression(compress=parameters.compress)
        stem = _stem(source)
        name = f"{stem}-{context.now():%Y%m%dT%H%M%SZ}-{context.job_id}{compression.suffix}"
        try:
            destination.mkdir(parents=True, exist_ok=True)
            manifest = self._write(context, source, destination, name, compression)
            removed = _rotate(destination, stem, name, parameters.keep)
        except OSError as error:
            raise Unavailable(f"The backup could not be written ({error.strerror}).") from error
        context.log.info(
            "backup_written", archive=name, files=len(manifest.sums), removed=len(removed)
        )
        return {
            "archive": str(destination / name),
            "files": len(manifest.sums),
            "bytes": manifest.size,
            "archive_bytes": (destination / name).stat().st_size,
            "sha256": manifest.archive_sum,
            "compression": compression.name,
            "verified": True,
            "removed": removed,
        }

    def task(self) -> Task:
        """Return the task."""
        return Task(
            key="files.backup",
            name="File Backup",
            description="Backs up a file or folder into a verified archive.",
            parameters=FileBackup,
            body=self.run,
            check=self.check,
            timeout_seconds=4 * 3600,
            isolation=Isolation.PROCESS,
        )

    def _paths(self, parameters: FileBackup) -> tuple[Path, Path]:
        source = self.sources.inside(parameters.source_path, "source_path")
        destination = self.destinations.inside(parameters.destination, "destination")
        if source == destination:
            raise Invalid.field("destination", "destination must not be the source itself.")
        return source, destination

    def _write(
        self,
        context: TaskContext,
        source: Path,
        destination: Path,
        name: str,
        compression: archives.Compression,
    ) -> archives.ArchiveManifest:
        temp = destination / f".{name}.{context.attempt}.partial"
        try:
            members = _members(source, destination, self.sources, context)
            manifest = archives.write(temp, compression, context, members)
            archives.verify(temp, compression, manifest, context)
            sums = f"{manifest.archive_sum}  {name}\n".encode() + manifest.text()
            (destination / f"{name}.sha256").write_bytes(sums)
            temp.replace(destination / name)
        finally:
            with suppress(OSError):
                temp.unlink(missing_ok=True)
        return manifest


def _stem(source: Path) -> str:
    """Return the prefix of a source's backups: its name and path hash."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", source.name).lstrip(".")[:60] or "root"
    return f"{plain}-{sha256(os.fsencode(source)).hexdigest()[:8]}"


def _members(
    source: Path, destination: Path, allowed: Folders, context: TaskContext
) -> Iterator[archives.ArchiveMember]:
    """
    Yield the members of the archive, sorted, without following links.

    Names are opened relative to the descriptor of their folder, which stays the
    same folder if its path is replaced by a link.
    """
    if not source.is_dir():
        folder = os.open(source.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield from _member(_archive_name(source), source, folder, allowed, context)
        finally:
            os.close(folder)
        return
    for path, folders, files, folder in os.fwalk(source, onerror=_raise):
        here = Path(path)
        folders[:] = sorted(name for name in folders if here / name != destination)
        for name in sorted([*folders, *files]):
            inner = _archive_name(source) / (here / name).relative_to(source)
            yield from _member(inner, here / name, folder, allowed, context)


def _archive_name(source: Path) -> Path:
    """Return the source's name in the archive, never the manifest's."""
    return Path(f"{source.name}_" if source.name == archives.MANIFEST else source.name)


def _raise(error: OSError) -> None:
    raise error


def _member(
    inner: Path, path: Path, folder: int, allowed: Folders, context: TaskContext
) -> Iterator[archives.ArchiveMember]:
    member = archives.ArchiveMember(os.fspath(inner), path.name, folder)
    if member.is_link:
        if not allowed.contains(Path(os.path.realpath(path))):
            raise Invalid.field(
                "source_path", f"The link {str(inner)!r} leads out of the configured folders."
            )
        yield member
    elif member.is_folder or member.is_file:
        yield member
    else:
        context.log.warning("special_file_skipped", path=repr(str(inner)))


def _rotate(destination: Path, stem: str, newest: str, keep: int | None) -> list[str]:
    """Delete the oldest backups of a source beyond `keep`; return their names."""
    if keep is None:
        return []
    pattern = re.compile(re.escape(stem) + r"-[0-9]{8}T[0-9]{6}Z-[0-9]+\.tar(\.gz|\.zst)?")
    names = (entry.name for entry in destination.iterdir())
    older = sorted(name for name in names if pattern.fullmatch(name) and name != newest)
    removed = older[: max(len(older) + 1 - keep, 0)]
    for name in removed:
        (destination / name).unlink(missing_ok=True)
        (destination / f"{name}.sha256").unlink(missing_ok=True)
    return removed
