"""Backups of folders: verified archives, old copies rotated."""

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
from workbell.domain.jobs.task import Task, TaskContext


@frozen(kw_only=True)
class FileBackup:
    """What to back up, and where to."""

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
        Constraints(ge=1, le=10_000, description="How many copies of this source to keep."),
    ] = None


@frozen
class Backup:
    """Backs up what lies in the input folders into the backup folders."""

    sources: Folders
    destinations: Folders

    def check(self, _: Actor, parameters: FileBackup) -> None:
        """
        Refuse paths outside the configured folders.

        Raises:
            Invalid: One of them lies outside, or both are the same.
        """
        self._paths(parameters)

    def run(self, context: TaskContext, parameters: FileBackup) -> dict[str, Any]:
        """
        Write the archive, read it back, and only then give it its name.

        Raises:
            Invalid: A path or a link leads out of the configured folders.
            NotFound: The source is not there.
            Unavailable: The source changed meanwhile, or cannot be read, or
                the destination cannot be written; trying again may help.
            Interrupted: The job was stopped; nothing is left behind.
        """
        source, destination = self._paths(parameters)
        if not os.path.lexists(source):
            raise NotFound(f"There is nothing at {parameters.source_path!r}.")
        kind = archives.kind(compress=parameters.compress)
        stem = _stem(source)
        name = f"{stem}-{context.now():%Y%m%dT%H%M%SZ}-{context.job_id}{kind.suffix}"
        try:
            destination.mkdir(parents=True, exist_ok=True)
            manifest = self._write(context, source, destination, name, kind)
            removed = _rotate(destination, stem, name, parameters.keep)
        except OSError as error:
            raise Unavailable(f"The backup could not be written ({error.strerror}).") from error
        context.log.info("backed up", archive=name, files=len(manifest.sums), removed=len(removed))
        return {
            "archive": str(destination / name),
            "files": len(manifest.sums),
            "bytes": manifest.size,
            "archive_bytes": (destination / name).stat().st_size,
            "sha256": manifest.archive_sum,
            "compression": kind.name,
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
        kind: archives.Kind,
    ) -> archives.Manifest:
        draft = destination / f".{name}.{context.attempt}.partial"
        try:
            manifest = archives.write(
                draft, kind, context, _members(source, destination, self.sources, context)
            )
            archives.verify(draft, kind, manifest, context)
            beside = destination / f"{name}.sha256"
            beside.write_bytes(f"{manifest.archive_sum}  {name}\n".encode() + manifest.text())
            draft.replace(destination / name)
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
        return manifest


def _stem(source: Path) -> str:
    """Return how the copies of a source are called: its name, and a hash of its path."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", source.name).lstrip(".")[:60] or "root"
    return f"{plain}-{sha256(os.fsencode(source)).hexdigest()[:8]}"


def _members(
    source: Path, destination: Path, allowed: Folders, context: TaskContext
) -> Iterator[archives.Member]:
    """
    Yield what goes into the archive, sorted, without following any link.

    Every name is opened within its folder's own descriptor, so that no
    folder can be swapped for a link meanwhile.
    """
    if not source.is_dir():
        folder = os.open(source.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield from _member(_root(source), source, folder, allowed, context)
        finally:
            os.close(folder)
        return
    for path, folders, files, folder in os.fwalk(source, onerror=_raise):
        here = Path(path)
        folders[:] = sorted(name for name in folders if here / name != destination)
        for name in sorted([*folders, *files]):
            inner = _root(source) / (here / name).relative_to(source)
            yield from _member(inner, here / name, folder, allowed, context)


def _root(source: Path) -> Path:
    """Return what the source is called within the archive, never like the manifest."""
    return Path(f"{source.name}_" if source.name == archives.MANIFEST else source.name)


def _raise(error: OSError) -> None:
    raise error


def _member(
    inner: Path, path: Path, folder: int, allowed: Folders, context: TaskContext
) -> Iterator[archives.Member]:
    member = archives.Member(os.fspath(inner), path.name, folder)
    if member.is_link:
        if not allowed.covers(Path(os.path.realpath(path))):
            raise Invalid.field(
                "source_path", f"The link {str(inner)!r} leads out of the configured folders."
            )
        yield member
    elif member.is_folder or member.is_file:
        yield member
    else:
        context.log.warning("left out: neither file, folder nor link", path=repr(str(inner)))


def _rotate(destination: Path, stem: str, newest: str, keep: int | None) -> list[str]:
    """Remove the oldest copies of a source beyond those to keep, and return their names."""
    if keep is None:
        return []
    ours = re.compile(re.escape(stem) + r"-[0-9]{8}T[0-9]{6}Z-[0-9]+\.tar(\.gz|\.zst)?")
    names = (entry.name for entry in destination.iterdir())
    older = sorted(name for name in names if ours.fullmatch(name) and name != newest)
    removed = older[: max(len(older) + 1 - keep, 0)]
    for name in removed:
        (destination / name).unlink(missing_ok=True)
        (destination / f"{name}.sha256").unlink(missing_ok=True)
    return removed
