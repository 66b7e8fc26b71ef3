"""Reading files whose paths come from users."""

import os
import socket
from pathlib import Path

import pytest

from workbell.adapters.builtin_tasks.datasets import open_file
from workbell.adapters.file_store import LocalFileStore
from workbell.adapters.regular_files import open_regular_file
from workbell.adapters.system import UuidIds
from workbell.domain.errors import Invalid


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    """Return a FIFO without a writer: opening it in the usual way never returns."""
    path = tmp_path / "pipe.csv"
    os.mkfifo(path)
    return path


def test_a_regular_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    with open_regular_file(path) as file:
        assert file.read() == b"content"


def test_a_link_to_a_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    with open_regular_file(tmp_path / "link") as file:
        assert file.read() == b"content"


def test_other_kinds_of_files_are_refused(tmp_path: Path, fifo: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    for path in (fifo, tmp_path, tmp_path / "socket", Path("/dev/zero")):
        with pytest.raises(OSError, match=r"regular file|No such device"):
            open_regular_file(path)
    listener.close()


def test_a_fifo_as_the_source_of_data_is_invalid(fifo: Path) -> None:
    with pytest.raises(Invalid, match="it is not a regular file"):
        list(open_file(fifo).batches())


def test_a_fifo_is_no_artifact(tmp_path: Path, fifo: Path) -> None:
    files = LocalFileStore(tmp_path / "artifacts", UuidIds())
    with pytest.raises(OSError, match="it is not a regular file"):
        files.save(files.new_key(), fifo)
