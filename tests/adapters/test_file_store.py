"""Artifact files in a folder: complete or absent, and only there."""

import hashlib
import os
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from attrs import define, field

from workbell.adapters.file_store import CHUNK_BYTES, LocalFileStore
from workbell.domain.errors import NotFound, Unavailable
from workbell.ports.files import StoredFile

pytestmark = pytest.mark.unit


@define
class SequentialIds:
    last: int = 0
    made: list[str] = field(factory=list)

    def new(self) -> str:
        self.last += 1
        self.made.append(f"{self.last:032x}")
        return self.made[-1]


@pytest.fixture
def files(tmp_path: Path) -> LocalFileStore:
    return LocalFileStore(tmp_path / "files", SequentialIds())


def names(files: LocalFileStore) -> list[str]:
    return [path.name for path in files.folder.rglob("*") if path.is_file()]


def save(files: LocalFileStore, source: BinaryIO | Path | bytes) -> StoredFile:
    return files.save(files.new_key(), source)


CONTENT = os.urandom(2 * CHUNK_BYTES + 17)


@pytest.mark.parametrize("content", [b"", b"hello", CONTENT])
def test_a_saved_file_is_read(files: LocalFileStore, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(content)
    for source in (content, BytesIO(content), tmp_path / "source"):
        stored = save(files, source)
        assert stored.size == len(content)
        assert stored.sha256 == hashlib.sha256(content).hexdigest()
        pieces = list(files.read(stored.key))
        assert b"".join(pieces) == content
        assert all(0 < len(piece) <= CHUNK_BYTES for piece in pieces)


def test_equal_files_have_different_keys(files: LocalFileStore) -> None:
    one, other = save(files, b"same"), save(files, b"same")
    files.delete(one.key)
    assert b"".join(files.read(other.key)) == b"same"


def test_a_file_can_be_deleted_twice(files: LocalFileStore) -> None:
    key = save(files, b"x").key
    files.delete(key)
    files.delete(key)
    with pytest.raises(NotFound):
        files.read(key)


def test_the_temporary_file_of_a_crash_is_deleted_by_its_key(files: LocalFileStore) -> None:
    key = save(files, b"x").key
    (files.folder / f"{key}.tmp").write_bytes(b"half of i")
    files.delete(key)
    assert names(files) == []


@pytest.mark.parametrize(
    "key", ["../secret", "/etc/passwd", "..", "a/b", "", "a\0b", "a.tmp", "x" * 65]
)
def test_no_key_leads_out_of_the_folder(files: LocalFileStore, tmp_path: Path, key: str) -> None:
    (tmp_path / "secret").write_text("secret")
    save(files, b"x")
    with pytest.raises(NotFound):
        files.read(key)
    files.delete(key)
    assert (tmp_path / "secret").exists()


def test_an_error_of_the_source_is_raised_and_leaves_no_file(files: LocalFileStore) -> None:
    class Broken(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell():
                raise ConnectionResetError
            return super().read(size)

    with pytest.raises(ConnectionResetError):
        save(files, Broken(CONTENT))
    with pytest.raises(FileNotFoundError):
        save(files, files.folder / "missing")
    assert names(files) == []


def test_a_folder_that_is_a_file_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    files = LocalFileStore(tmp_path / "file", SequentialIds())
    for act in (lambda: save(files, b"x"), lambda: files.read("abc"), lambda: files.delete("abc")):
        with pytest.raises(Unavailable):
            act()


@pytest.mark.parametrize("content", [b"small", CONTENT * 3])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is needed")
def test_a_full_disk_leaves_no_file(
    files: LocalFileStore, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_open = Path.open

    def opened(path: Path, mode: str = "r", *args: Any) -> Any:
        return real_open(Path("/dev/full"), "wb") if "x" in mode else real_open(path, mode, *args)

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(Unavailable):
        save(files, content)
    assert names(files) == []


@pytest.mark.parametrize("call", ["fsync", "open"])
def test_a_file_that_cannot_be_synced_is_not_saved(
    files: LocalFileStore, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(Unavailable):
        save(files, b"x")


def test_files_that_a_crash_left_incomplete_are_deleted(tmp_path: Path) -> None:
    store = LocalFileStore(tmp_path / "artifacts", SequentialIds())
    assert store.prune_temporary(datetime.now(UTC)) == 0
    store.save(key := store.new_key(), b"complete")
    partial = tmp_path / "artifacts" / "abc.tmp"
    partial.write_bytes(b"incomplete")
    assert store.prune_temporary(datetime.now(UTC) - timedelta(days=1)) == 0
    assert store.prune_temporary(datetime.now(UTC) + timedelta(days=1)) == 1
    assert not partial.exists()
    assert b"".join(store.read(key)) == b"complete"
