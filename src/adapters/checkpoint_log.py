"""Checkpoints of the audit log in a file of JSON lines."""

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
from attrs import asdict, frozen

from workbell.domain.audit.checkpoint import Checkpoint
from workbell.domain.errors import Invalid, Unavailable


def format_checkpoint(checkpoint: Checkpoint) -> bytes:
    """Return a checkpoint as a line of JSON."""
    return msgspec.json.encode(asdict(checkpoint)) + b"\n"


def parse_checkpoints(content: bytes) -> Sequence[Checkpoint]:
    """
    Return the checkpoints in JSON lines, without an incomplete last line.

    Raises:
        Invalid: Names a malformed line.
    """
    found: list[Checkpoint] = []
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            found.append(msgspec.convert(msgspec.json.decode(line), Checkpoint))
        except (msgspec.DecodeError, ValueError) as error:
            raise Invalid(f"Line {number} is no checkpoint: {error}") from error
    return found


@frozen
class FileCheckpointLog:
    """Checkpoints in a file (mode 0600), outside the database."""

    path: Path

    def append(self, checkpoint: Checkpoint) -> None:
        """Append a checkpoint and sync the file."""
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(handle, "r+b") as file:
                file.truncate(_complete_length(file.read()))
                file.write(format_checkpoint(checkpoint))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise Unavailable(f"{self.path} cannot be written: {error.strerror}.") from error

    def read(self) -> Sequence[Checkpoint]:
        """Return all checkpoints, oldest first; none without a file."""
        try:
            return parse_checkpoints(self.path.read_bytes())
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise Unavailable(f"{self.path} cannot be read: {error.strerror}.") from error
        except Invalid as error:
            raise Invalid(f"{self.path}: {error.detail}") from error


def _complete_length(content: bytes) -> int:
    """Return the length without a last line that a crash left incomplete."""
    return content.rfind(b"\n") + 1
