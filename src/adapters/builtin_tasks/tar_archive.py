"""Archives: tar files with a SHA-256 manifest, written once and read back."""

import gzip
import io
import os
import stat
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, cast

from attrs import Factory, define, field, frozen

from workbell.domain.errors import Unavailable
from workbell.domain.jobs.task import TaskContext

# the extra `tasks` brings it
zstandard: Any = import_module("zstandard") if find_spec("zstandard") else None

MANIFEST = "MANIFEST.sha256"
PIECE = 256 * 1024
BROKEN: tuple[type[Exception], ...] = (
    tarfile.TarError,
    EOFError,
    ValueError,
    gzip.BadGzipFile,
    zlib.error,
    *([zstandard.ZstdError] if zstandard else []),
)
CHECK_EVERY = 8 * 1024 * 1024


@frozen
class Kind:
    """How an archive is compressed: zstd, gzip or not at all."""

    name: str
    suffix: str


PLAIN, GZIP, ZSTD = Kind("none", ".tar"), Kind("gzip", ".tar.gz"), Kind("zstd", ".tar.zst")


def kind(*, compress: bool) -> Kind:
    """Return the best kind that this installation can write."""
    if not compress:
        return PLAIN
    return GZIP if zstandard is None else ZSTD


def _status(member: "Member") -> os.stat_result:
    return os.stat(member.name, dir_fd=member.folder, follow_symlinks=False)


@frozen
class Member:
    """Something in an open folder, and its path within the archive."""

    path: str
    name: str
    folder: int
    status: os.stat_result = field(default=Factory(_status, takes_self=True), init=False)

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.status.st_mode)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.status.st_mode)

    def header(self) -> tarfile.TarInfo:
        """Return what the archive says of it."""
        info = tarfile.TarInfo(self.path)
        info.mode = stat.S_IMODE(self.status.st_mode)
        info.mtime = int(self.status.st_mtime)
        info.uid, info.gid = self.status.st_uid, self.status.st_gid
        if self.is_link:
            info.type, info.linkname = tarfile.SYMTYPE, os.readlink(self.name, dir_fd=self.folder)
        elif self.is_folder:
            info.type = tarfile.DIRTYPE
        else:
            info.size = self.status.st_size
        return info

    def open(self) -> BinaryIO:
        """
        Open the file that was looked at.

        Raises:
            Unavailable: Something else has taken its place.
        """
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        file = os.fdopen(os.open(self.name, flags, dir_fd=self.folder), "rb")
        now = os.fstat(file.fileno())
        if (now.st_dev, now.st_ino) != (self.status.st_dev, self.status.st_ino):
            file.close()
            raise Unavailable(f"{self.path!r} was replaced while it was backed up.")
        return file


@define
class Manifest:
    """The SHA-256 of every file by its path, of the archive, and what they hold."""

    sums: dict[str, str] = Factory(dict[str, str])
    size: int = 0
    archive_sum: str = ""

    def text(self) -> bytes:
        """Return it in the form that `sha256sum --check` reads."""
        return b"".join(_line(os.fsencode(path), found) for path, found in self.sums.items())


def _line(path: bytes, found: str) -> bytes:
    """Return a line of coreutils' form: odd names are escaped, and marked so."""
    escaped = path.replace(b"\\", rb"\\").replace(b"\n", rb"\n").replace(b"\r", rb"\r")
    mark = b"\\" if escaped != path else b""
    return b"%s%s  %s\n" % (mark, found.encode(), escaped)


@define(eq=False)
class _HashingFile:
    """A file whose pieces are hashed and told as they pass."""

    file: Any
    context: TaskContext
    digest: Any = Factory(sha256)
    passed: int = 0
    unchecked: int = 0

    def read(self, size: int = -1) -> bytes:
        return self._pass(self.file.read(size))

    def write(self, piece: Any) -> int:
        self.file.write(self._pass(bytes(piece)))
        return len(piece)

    def _pass(self, piece: bytes) -> bytes:
        self.digest.update(piece)
        self.passed += len(piece)
        self.unchecked += len(piece)
        if self.unchecked >= CHECK_EVERY:
            self.unchecked = 0
            self.context.check()
        return piece


def write(path: Path, kind_: Kind, context: TaskContext, members: Iterable[Member]) -> Manifest:
    """
    Write an archive with its manifest as the last member.

    Raises:
        Unavailable: A file changed while it was read.
        OSError: A file cannot be read, or the archive not be written.
        Interrupted: The job was stopped.
    """
    manifest = Manifest()
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "wb") as raw:
        target = _HashingFile(raw, context)
        with (
            _compressed(target, kind_) as stream,
            tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar,
        ):
            for member in members:
                context.check()
                _add(tar, member, manifest, context)
                context.progress(manifest.size, note=f"{len(manifest.sums):,} files")
            _add_text(tar, MANIFEST, manifest.text())
        raw.flush()
        os.fsync(raw.fileno())
        manifest.archive_sum = target.digest.hexdigest()
    return manifest


def _add(tar: tarfile.TarFile, member: Member, manifest: Manifest, context: TaskContext) -> None:
    info = member.header()
    if not member.is_file:
        tar.addfile(info)
        return
    with member.open() as file:
        source = _HashingFile(file, context)
        try:
            tar.addfile(info, cast(BinaryIO, source))
        except OSError as error:
            if source.passed < info.size and error.errno is None:
                raise Unavailable(f"{member.path!r} changed while it was backed up.") from error
            raise
    manifest.sums[member.path] = source.digest.hexdigest()
    manifest.size += info.size


def _add_text(tar: tarfile.TarFile, name: str, text: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(text)
    tar.addfile(info, io.BytesIO(text))


def verify(path: Path, kind_: Kind, manifest: Manifest, context: TaskContext) -> None:
    """
    Read an archive from the disk and compare every file with the manifest.

    Raises:
        Unavailable: The archive is not what was written.
        Interrupted: The job was stopped.
    """
    try:
        found = _read_back(path, kind_, context)
    except BROKEN as error:
        raise Unavailable("The archive could not be read back.") from error
    expected = {**manifest.sums, MANIFEST: sha256(manifest.text()).hexdigest()}
    if found != (expected, manifest.archive_sum):
        raise Unavailable("The archive does not hold what was written to it.")


def _read_back(path: Path, kind_: Kind, context: TaskContext) -> tuple[dict[str, str], str]:
    found: dict[str, str] = {}
    with path.open("rb") as raw:
        source = _HashingFile(raw, context)
        with (
            _expanded(source, kind_) as stream,
            tarfile.open(fileobj=stream, mode="r|") as tar,
        ):
            for info in tar:
                if info.isreg() and (file := tar.extractfile(info)) is not None:
                    found[info.name] = _sum_of(file)
        while source.read(PIECE):
            pass
        return found, source.digest.hexdigest()


def _sum_of(file: Any) -> str:
    digest = sha256()
    while piece := file.read(PIECE):
        digest.update(piece)
    return digest.hexdigest()


@contextmanager
def _compressed(target: Any, kind_: Kind) -> Iterator[Any]:
    if kind_ is ZSTD:
        with zstandard.ZstdCompressor(level=6, write_checksum=True).stream_writer(
            target, closefd=False
        ) as stream:
            yield stream
    elif kind_ is GZIP:
        with gzip.GzipFile(fileobj=target, mode="wb", mtime=0, filename="") as stream:
            yield stream
    else:
        yield target


@contextmanager
def _expanded(source: Any, kind_: Kind) -> Iterator[Any]:
    if kind_ is ZSTD:
        with zstandard.ZstdDecompressor().stream_reader(source, closefd=False) as stream:
            yield stream
    elif kind_ is GZIP:
        with gzip.GzipFile(fileobj=source, mode="rb") as stream:
            yield stream
    else:
        yield source
