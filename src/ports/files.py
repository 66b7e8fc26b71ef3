"""Files that jobs make: artifacts by key."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from attrs import frozen


@frozen
class StoredFile:
    """A file that is kept whole: its key, size in bytes and SHA-256."""

    key: str
    size: int
    sha256: str


class FileStore(Protocol):
    """Where artifacts lie; a file is there whole or not at all."""

    def new_key(self) -> str:
        """Return a key that no file has had."""
        ...

    def save(self, key: str, source: BinaryIO | Path | bytes) -> StoredFile:
        """
        Keep a copy of the source under a new key.

        Raises:
            Unavailable: There is no room, or the folder cannot be written.
        """
        ...

    def read(self, key: str) -> Iterator[bytes]:
        """
        Yield the file's bytes in pieces of at most 64 KiB.

        Raises:
            NotFound: There is no such file any more.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove a file, or what a crash left of it; one that is gone already is no error."""
        ...
