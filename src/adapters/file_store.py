"""Artifact files in a local folder."""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from attrs import frozen

from workbell.adapters.regular_files import open_regular_file
from workbell.domain.errors import NotFound, Unavailable
from workbell.ports.files import StoredFile
from workbell.ports.system import Ids

CHUNK_BYTES = 64 * 1024

_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")


@frozen
class LocalFileStore:
    """
    Files under opaque keys, in subfolders of a folder.

    A file is renamed to its name after it was synced, so a crash leaves it
    complete or absent. Keys have no dots or slashes, which prevents path
    traversal.
    """

    folder: Path
    ids: Ids

    def new_key(self) -> str:
        """Return a new key."""
        return self.ids.new()

    def save(self, key: str, source: BinaryIO | Path | bytes) -> StoredFile:
        """Copy the source to a new file; raise Unavailable if that fails."""
        if isinstance(source, Path):
            with open_regular_file(source) as file:
                return self._write(key, file)
        return self._write(key, BytesIO(source) if isinstance(source, bytes) else source)

    def read(self, key: str) -> Iterator[bytes]:
        """Return chunks of at most 64 KiB; raise NotFound before the first."""
        if not _KEY.fullmatch(key):
            raise NotFound(f"There is no artifact file {key!r:.80}.")
        try:
            file = self._path(key).open("rb")
        except FileNotFoundError as error:
            raise NotFound(f"There is no artifact file {key}.") from error
        except OSError as error:
            raise Unavailable("The artifact folder cannot be read.") from error
        return _read_chunks(file)

    def delete(self, key: str) -> None:
        """Delete a file and its temporary file, if they exist."""
        if _KEY.fullmatch(key):
            try:
                self._path(key).unlink(missing_ok=True)
                self._temp_path(key).unlink(missing_ok=True)
            except OSError as error:
                raise _write_error() from error

    def prune_temporary(self, before: datetime) -> int:
        """Delete files that a crash left incomplete before a time; return how many."""
        deleted = 0
        try:
            for path in self.folder.glob("*.tmp"):
                if path.stat().st_mtime < before.timestamp():
                    path.unlink(missing_ok=True)
                    deleted += 1
        except FileNotFoundError:
            return deleted
        except OSError as error:
            raise _write_error() from error
        return deleted

    def _path(self, key: str) -> Path:
        return self.folder / key[-2:] / key

    def _temp_path(self, key: str) -> Path:
        return self.folder / f"{key}.tmp"

    def _write(self, key: str, source: BinaryIO) -> StoredFile:
        path, temp = self._path(key), self._temp_path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            target = temp.open("xb")
        except OSError as error:
            raise _write_error() from error
        try:
            size, sha256 = _copy(source, target)
            _rename_into_place(temp, path)
        finally:
            with suppress(OSError):  # a full disk fails again here
                target.close()
            with suppress(OSError):
                temp.unlink(missing_ok=True)
        return StoredFile(key, size, sha256)


def _copy(source: BinaryIO, target: BinaryIO) -> tuple[int, str]:
    """Copy and sync a file; return its size and SHA-256."""
    digest, size = hashlib.sha256(), 0
    while chunk := source.read(CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
        try:
            target.write(chunk)
        except OSError as error:
            raise _write_error() from error
    try:
        target.flush()
        os.fsync(target.fileno())
    except OSError as error:
        raise _write_error() from error
    return size, digest.hexdigest()


def _rename_into_place(temp: Path, path: Path) -> None:
    """Rename the finished file and sync its folder."""
    try:
        temp.replace(path)
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _write_error() from error


def _read_chunks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _write_error() -> Unavailable:
    return Unavailable("The artifact folder cannot be written.", retry_after=30.0)
