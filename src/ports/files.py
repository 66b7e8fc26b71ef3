"""Storage of the files that jobs create."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from attrs import frozen


@frozen
class StoredFile:
    """A stored file: key, size in bytes and SHA-256."""

    key: str
    size: int
    sha256: str


class FileStore(Protocol):
    """Files by key. Writes are atomic: a file is complete or absent."""

    def new_key(self) -> str:
        """Return a key that was never used."""

    def save(self, key: str, source: BinaryIO | Path | bytes) -> StoredFile:
        """Store a copy of the source; Unavailable if the disk rejects it."""

    def read(self, key: str) -> Iterator[bytes]:
        """Yield the content in chunks of at most 64 KiB, or raise NotFound."""

    def delete(self, key: str) -> None:
        """Delete a file or its incomplete remains; a missing one is no error."""
