"""File Backup: archives, verification, rotation, and paths outside the folders."""

import io
import os
import socket
import subprocess
import tarfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.adapters.builtin_tasks.context import NOON, RecordedContext
from workbell.adapters.builtin_tasks import tar_archive as archives
from workbell.adapters.builtin_tasks.allowed_folders import Folders
from workbell.adapters.builtin_tasks.file_backup import FileBackup, FileBackups
from workbell.adapters.serialization.serializer import JsonSerializer
from workbell.domain.errors import Invalid, NotFound, Unavailable
from workbell.domain.identity.actor import SYSTEM
from workbell.domain.jobs.task import Cancelled

pytestmark = pytest.mark.unit


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a folder with `in/photos`, `out` and `secret`."""
    (tmp_path / "in" / "photos" / "deep").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "photos" / "a.txt").write_text("alpha")
    (tmp_path / "in" / "photos" / "deep" / "b\nc.bin").write_bytes(os.urandom(300_000))
    (tmp_path / "secret").write_text("secret")
    return tmp_path


def task(home: Path) -> FileBackups:
    return FileBackups(
        Folders("INPUT_DIRS", (home / "in",)), Folders("BACKUP_DIRS", (home / "out",))
    )


def back_up(home: Path, context: RecordedContext | None = None, **changed: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"source_path": "photos", "destination": "daily"} | changed
    result = task(home).run(context or RecordedContext(), FileBackup(**given))
    assert JsonSerializer().unstructure(result) == result
    return result


def contents(archive: str) -> dict[str, bytes | None]:
    data = Path(archive).read_bytes()
    if archive.endswith(".zst"):
        data = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {
            info.name: file.read() if info.isreg() and (file := tar.extractfile(info)) else None
            for info in tar
        }


@pytest.mark.parametrize("name", ["zstd", "gzip", "none"])
def test_a_folder_is_backed_up_and_verified(
    home: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "gzip":
        monkeypatch.setattr(archives, "zstandard", None)
    context = RecordedContext()
    (home / "in" / "photos" / "inner").symlink_to("a.txt")
    result = back_up(home, context, compress=name != "none")

    assert (result["compression"], result["files"], result["bytes"]) == (name, 2, 300_005)
    members = contents(result["archive"])
    assert list(members) == [
        "photos/a.txt",
        "photos/deep",
        "photos/inner",
        "photos/deep/b\nc.bin",
        "MANIFEST.sha256",
    ]
    assert members["photos/a.txt"] == b"alpha"
    assert context.notes[-1][0] == 300_005
    sums = Path(result["archive"] + ".sha256").read_bytes()
    _, _, manifest = sums.partition(b"\n")
    assert manifest == members["MANIFEST.sha256"]
    assert sorted(path.name for path in (home / "out" / "daily").iterdir()) == [
        Path(result["archive"]).name,
        Path(result["archive"]).name + ".sha256",
    ]


def test_sha256sum_accepts_the_manifests(home: Path) -> None:
    archive = Path(back_up(home, compress=False)["archive"])
    with tarfile.open(archive) as tar:
        tar.extractall(home / "restored", filter="data")
    command = ["sha256sum", "--check", "--strict", "MANIFEST.sha256"]
    assert subprocess.run(command, cwd=home / "restored", check=False).returncode == 0
    first = Path(f"{archive}.sha256").read_bytes().splitlines()[0]
    (archive.parent / "first").write_bytes(first + b"\n")
    assert (
        subprocess.run(
            ["sha256sum", "--check", "first"], cwd=archive.parent, check=False
        ).returncode
        == 0
    )


def test_a_single_file_and_odd_names_are_backed_up(home: Path) -> None:
    assert list(contents(back_up(home, source_path="photos/a.txt")["archive"])) == [
        "a.txt",
        "MANIFEST.sha256",
    ]
    (home / "in" / "MANIFEST.sha256").write_text("mine")
    members = contents(back_up(home, source_path="MANIFEST.sha256")["archive"])
    assert members["MANIFEST.sha256_"] == b"mine"
    Path(os.fsdecode(os.fsencode(home / "in" / "photos") + b"/\xff\\")).write_text("x")
    assert back_up(home)["files"] == 3
    (home / "in" / ".hidden dir").mkdir()
    assert "/hidden_dir-" in back_up(home, source_path=".hidden dir")["archive"]


def test_old_backups_of_the_same_source_are_rotated(home: Path) -> None:
    other = back_up(home, source_path="photos/a.txt")["archive"]
    results = [
        back_up(home, RecordedContext(time=NOON + timedelta(days=day)), keep=2) for day in range(4)
    ]
    early = back_up(home, RecordedContext(time=NOON - timedelta(days=1)), keep=1)

    assert [len(result["removed"]) for result in results] == [0, 0, 1, 1]
    assert results[3]["removed"] == [Path(results[1]["archive"]).name]
    assert len(early["removed"]) == 2
    names = {path.name for path in (home / "out" / "daily").iterdir()}
    remaining = [Path(other).name, Path(early["archive"]).name]
    assert names == {*remaining, *(f"{name}.sha256" for name in remaining)}


@pytest.mark.parametrize("target", ["../../secret", "/etc/hostname", "../.."])
def test_a_link_out_of_the_folders_fails_the_job_and_leaves_no_file(
    home: Path, target: str
) -> None:
    (home / "in" / "photos" / "link").symlink_to(target)
    with pytest.raises(Invalid, match="leads out"):
        back_up(home)
    assert list((home / "out" / "daily").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("source_path", "../secret"),
        ("source_path", "/etc"),
        ("source_path", "photos/../../out"),
        ("source_path", "escape"),
        ("destination", ".."),
        ("destination", "../in"),
        ("destination", "/tmp"),
        ("destination", "a\0b"),
    ],
    ids=list("abcdefgh"),
)
def test_paths_outside_the_folders_are_refused_at_once(home: Path, name: str, path: str) -> None:
    (home / "in" / "escape").symlink_to(home)
    given: dict[str, Any] = {"source_path": "photos", "destination": "daily", name: path}
    check = task(home).task().check
    assert check is not None
    with pytest.raises(Invalid) as caught:
        check(SYSTEM, FileBackup(**given))
    assert list(caught.value.field_errors) == [name]
    with pytest.raises(Invalid):
        back_up(home, **given)


def test_a_configured_folder_is_inside_itself(home: Path) -> None:
    assert back_up(home, source_path=".", destination=".")["files"] == 2


def test_a_backup_does_not_contain_itself(home: Path) -> None:
    both = Folders("BOTH", (home / "in",))
    with pytest.raises(Invalid, match="must not be the source"):
        FileBackups(both, both).check(SYSTEM, FileBackup(source_path=".", destination="."))
    for _ in range(2):
        result = FileBackups(both, both).run(
            RecordedContext(), FileBackup(source_path=".", destination="photos/copies")
        )
        assert result["files"] == 2


def test_a_missing_source_is_not_found(home: Path) -> None:
    with pytest.raises(NotFound):
        back_up(home, source_path="none")


def test_special_files_are_skipped(home: Path) -> None:
    context = RecordedContext()
    os.mkfifo(home / "in" / "photos" / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(home / "in" / "photos" / "s"))
    assert back_up(home, context)["files"] == 2
    assert [line[0] for line in context.log.lines] == ["warning", "warning", "info"]


def test_a_cancelled_backup_leaves_no_file(home: Path) -> None:
    (home / "in" / "photos" / "big").write_bytes(bytes(20 * 1024 * 1024))
    with pytest.raises(Cancelled):
        back_up(home, RecordedContext(checks_left=[4]), compress=False)
    assert list((home / "out" / "daily").iterdir()) == []


def test_a_destination_that_cannot_be_written_is_unavailable(home: Path) -> None:
    (home / "out" / "daily").write_text("a file")
    with pytest.raises(Unavailable, match="exists"):
        back_up(home)


def test_a_folder_that_cannot_be_opened_is_an_error(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def refuse(path: Any, *more: Any, **named: Any) -> int:
        if path == "deep":
            raise PermissionError(13, "Permission denied")
        return real(path, *more, **named)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(Unavailable, match="Permission denied"):
        back_up(home)


def test_a_folder_that_cannot_be_listed_is_an_error(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    def scandir(path: Any) -> Any:
        if isinstance(path, int) and Path(f"/proc/self/fd/{path}").readlink().name == "deep":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(Unavailable, match="Permission denied"):
        back_up(home)


# archives


def _member(path: Path) -> archives.ArchiveMember:
    folder = os.open(path.parent, os.O_RDONLY)
    return archives.ArchiveMember(path.name, path.name, folder)


def test_a_file_that_shrinks_or_is_replaced_during_the_backup_is_an_error(home: Path) -> None:
    path = home / "in" / "photos" / "a.txt"
    shrunk = _member(path)
    path.write_text("a")
    with pytest.raises(Unavailable, match="changed"):
        archives.write(home / "x.tar", archives.PLAIN, RecordedContext(), [shrunk])
    replaced = _member(path)
    (home / "other").write_text("a")
    (home / "other").replace(path)
    with pytest.raises(Unavailable, match="replaced"):
        archives.write(home / "x.tar", archives.PLAIN, RecordedContext(), [replaced])
    linked = _member(path)
    path.unlink()
    path.symlink_to(home / "secret")
    with pytest.raises(OSError, match="symbolic"):
        archives.write(home / "x.tar", archives.PLAIN, RecordedContext(), [linked])
    for member in (shrunk, replaced, linked):
        os.close(member.folder)


@pytest.mark.parametrize(
    "kind", [archives.PLAIN, archives.GZIP, archives.ZSTD], ids=lambda k: k.name
)
def test_an_archive_that_differs_from_what_was_written_is_refused(
    home: Path, kind: archives.Compression
) -> None:
    member = _member(home / "in" / "photos" / "a.txt")
    path, context = home / "x", RecordedContext()
    manifest = archives.write(path, kind, context, [member])
    archives.verify(path, kind, manifest, context)
    good = path.read_bytes()
    for bad in (good[: len(good) // 2], good[:30] + b"\xff\xfe" + good[32:], b"", good + b"\0"):
        path.write_bytes(bad)
        with pytest.raises(Unavailable):
            archives.verify(path, kind, manifest, context)
    os.close(member.folder)


def test_a_write_error_is_reported(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archives._HashingFile, "write", full)
    with pytest.raises(Unavailable, match="No space left"):
        back_up(home, compress=False)
