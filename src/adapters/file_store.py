"""Artifacts as files in a folder."""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from attrs import frozen

from workbell.domain.errors import NotFound, Unavailable
from workbell.ports.files import StoredFile
from workbell.ports.system import Ids

PIECE = 64 * 1024

_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")


@frozen
class LocalFileStore:
    """
    Each file under an opaque key of its own, in one of many subfolders.

    A file appears by a rename after all of it is on the disk, so a crash
    leaves it whole or not at all. A key holds no dot and no slash, so none
    leads out of the folder.
    """

    folder: Path
    ids: Ids

    def new_key(self) -> str:
        """Return a key that no file has had."""
        return self.ids.new()

    def save(self, key: str, source: BinaryIO | Path | bytes) -> StoredFile:
        """
        Keep a copy of the source under a new key.

        What opening or reading the source raises is passed on as it is.

        Raises:
            Unavailable: There is no room, or the folder cannot be written.
        """
        if isinstance(source, Path):
            with source.open("rb") as file:
                return self._write(key, file)
        return self._write(key, BytesIO(source) if isinstance(source, bytes) else source)

    def read(self, key: str) -> Iterator[bytes]:
        """
        Yield the file's bytes in pieces of at most 64 KiB.

        Raises:
            NotFound: There is no such file any more; raised at once, not at
                the first piece.
            Unavailable: The folder cannot be read.
        """
        if not _KEY.fullmatch(key):
            raise NotFound(f"No file {key!r:.80}.")
        try:
            file = self._path(key).open("rb")
        except FileNotFoundError as error:
            raise NotFound(f"No file {key}.") from error
        except OSError as error:
            raise Unavailable("The folder of artifacts cannot be read.") from error
        return _pieces(file)

    def delete(self, key: str) -> None:
        """
        Remove a file, or what a crash left of it; one that is gone already is no error.

        Raises:
            Unavailable: The folder cannot be written.
        """
        if _KEY.fullmatch(key):
            try:
                self._path(key).unlink(missing_ok=True)
                self._temp_path(key).unlink(missing_ok=True)
            except OSError as error:
                raise _unwritable() from error

    def _path(self, key: str) -> Path:
        return self.folder / key[-2:] / key

    def _temp_path(self, key: str) -> Path:
        return self.folder / f"{key}.tmp"

    def _write(self, key: str, source: BinaryIO) -> StoredFile:
        path, draft = self._path(key), self._temp_path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            target = draft.open("xb")
        except OSError as error:
            raise _unwritable() from error
        try:
            size, sha256 = _copy(source, target)
            _rename_into_place(draft, path)
        finally:
            with suppress(OSError):  # a full disk says so a second time
                target.close()
            with suppress(OSError):
                draft.unlink(missing_ok=True)
        return StoredFile(key, size, sha256)


def _copy(source: BinaryIO, target: BinaryIO) -> tuple[int, str]:
    """Copy all of it to the disk, and return its size and SHA-256."""
    digest, size = hashlib.sha256(), 0
    while piece := source.read(PIECE):
        digest.update(piece)
        size += len(piece)
        try:
            target.write(piece)
        except OSError as error:
            raise _unwritable() from error
    try:
        target.flush()
        os.fsync(target.fileno())
    except OSError as error:
        raise _unwritable() from error
    return size, digest.hexdigest()


def _rename_into_place(draft: Path, path: Path) -> None:
    """Give the finished file its name, and have the name on the disk too."""
    try:
        draft.replace(path)
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _unwritable() from error


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(PIECE):
            yield piece


def _unwritable() -> Unavailable:
    return Unavailable("The folder of artifacts cannot be written.", retry_after=30.0)
