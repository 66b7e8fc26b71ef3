"""Tar archives with a SHA-256 manifest, verified after writing."""

import gzip
import io
import os
import stat
import tarfile
import zlib
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from hashlib import file_digest, sha256
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, cast

from attrs import Factory, define, field, frozen

from workbell.domain.errors import Unavailable
from workbell.domain.jobs.task import TaskContext

# installed by the extra `tasks`
zstandard: Any = import_module("zstandard") if find_spec("zstandard") else None

MANIFEST = "MANIFEST.sha256"
CHUNK_BYTES = 256 * 1024
BROKEN: tuple[type[Exception], ...] = (
    tarfile.TarError,
    EOFError,
    ValueError,
    gzip.BadGzipFile,
    zlib.error,
    *([zstandard.ZstdError] if zstandard else []),
)
CHECK_BYTES = 8 * 1024 * 1024


@frozen
class Compression:
    """The compression of an archive: zstd, gzip or none."""

    name: str
    suffix: str


PLAIN, GZIP, ZSTD = (
    Compression("none", ".tar"),
    Compression("gzip", ".tar.gz"),
    Compression("zstd", ".tar.zst"),
)


def choose_compression(*, compress: bool) -> Compression:
    """Return the best compression of this installation, or none."""
    if not compress:
        return PLAIN
    return GZIP if zstandard is None else ZSTD


def _read_status(member: "ArchiveMember") -> os.stat_result:
    return os.stat(member.name, dir_fd=member.folder, follow_symlinks=False)


@frozen
class ArchiveMember:
    """A file, folder or link in an open folder, and its path in the archive."""

    path: str
    name: str
    folder: int
    status: os.stat_result = field(default=Factory(_read_status, takes_self=True), init=False)

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
        """Return the tar header."""
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
        """Open the file; raise Unavailable if it was replaced since."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        file = os.fdopen(os.open(self.name, flags, dir_fd=self.folder), "rb")
        now = os.fstat(file.fileno())
        if (now.st_dev, now.st_ino) != (self.status.st_dev, self.status.st_ino):
            file.close()
            raise Unavailable(f"{self.path!r} was replaced while it was backed up.")
        return file


@define
class ArchiveManifest:
    """SHA-256 sums of an archive and its files, and the files' total size."""

    sums: dict[str, str] = Factory(dict[str, str])
    size: int = 0
    archive_sum: str = ""

    def text(self) -> bytes:
        """Return the manifest in the format of `sha256sum --check`."""
        return b"".join(_line(os.fsencode(path), digest) for path, digest in self.sums.items())


def _line(path: bytes, digest: str) -> bytes:
    """Return a line in coreutils' format, which marks escaped names."""
    escaped = path.replace(b"\\", rb"\\").replace(b"\n", rb"\n").replace(b"\r", rb"\r")
    mark = b"\\" if escaped != path else b""
    return b"%s%s  %s\n" % (mark, digest.encode(), escaped)


@define(eq=False)
class _HashingFile:
    """A file object that hashes its chunks, and checks for a stop every 8 MiB."""

    file: Any
    context: TaskContext
    digest: Any = Factory(sha256)
    size: int = 0
    unchecked: int = 0

    def read(self, size: int = -1) -> bytes:
        return self._update(self.file.read(size))

    def write(self, chunk: Any) -> int:
        self.file.write(self._update(bytes(chunk)))
        return len(chunk)

    def _update(self, chunk: bytes) -> bytes:
        self.digest.update(chunk)
        self.size += len(chunk)
        self.unchecked += len(chunk)
        if self.unchecked >= CHECK_BYTES:
            self.unchecked = 0
            self.context.check()
        return chunk


def write(
    path: Path, compression: Compression, context: TaskContext, members: Iterable[ArchiveMember]
) -> ArchiveManifest:
    """
    Write an archive, with its manifest as the last member.

    Raises:
        Unavailable: A file changed while it was read.
        OSError: A file cannot be read, or the archive cannot be written.
    """
    manifest = ArchiveManifest()
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "wb") as raw:
        target = _HashingFile(raw, context)
        with (
            _compressor(target, compression) as stream,
            tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar,
        ):
            for member in members:
                context.check()
                _add(tar, member, manifest, context)
                context.progress(manifest.size, note=f"{len(manifest.sums):,} files")
            text = manifest.text()
            info = tarfile.TarInfo(MANIFEST)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
        raw.flush()
        os.fsync(raw.fileno())
        manifest.archive_sum = target.digest.hexdigest()
    return manifest


def _add(
    tar: tarfile.TarFile, member: ArchiveMember, manifest: ArchiveManifest, context: TaskContext
) -> None:
    info = member.header()
    if not member.is_file:
        tar.addfile(info)
        return
    with member.open() as file:
        source = _HashingFile(file, context)
        try:
            tar.addfile(info, cast(BinaryIO, source))
        except OSError as error:
            if source.size < info.size and error.errno is None:
                raise Unavailable(f"{member.path!r} changed while it was backed up.") from error
            raise
    manifest.sums[member.path] = source.digest.hexdigest()
    manifest.size += info.size


def verify(
    path: Path, compression: Compression, manifest: ArchiveManifest, context: TaskContext
) -> None:
    """Compare an archive with its manifest; raise Unavailable on differences."""
    try:
        sums = _read_sums(path, compression, context)
    except BROKEN as error:
        raise Unavailable("The archive could not be read back.") from error
    expected = {**manifest.sums, MANIFEST: sha256(manifest.text()).hexdigest()}
    if sums != (expected, manifest.archive_sum):
        raise Unavailable("The archive differs from what was written to it.")


def _read_sums(
    path: Path, compression: Compression, context: TaskContext
) -> tuple[dict[str, str], str]:
    sums: dict[str, str] = {}
    with path.open("rb") as raw:
        source = _HashingFile(raw, context)
        with (
            _decompressor(source, compression) as stream,
            tarfile.open(fileobj=stream, mode="r|") as tar,
        ):
            for info in tar:
                if info.isreg() and (file := tar.extractfile(info)) is not None:
                    sums[info.name] = file_digest(cast(Any, file), sha256).hexdigest()
        while source.read(CHUNK_BYTES):
            pass
        return sums, source.digest.hexdigest()


def _compressor(target: Any, compression: Compression) -> AbstractContextManager[Any]:
    if compression is ZSTD:
        zstd = zstandard.ZstdCompressor(level=6, write_checksum=True)
        writer: AbstractContextManager[Any] = zstd.stream_writer(target, closefd=False)
        return writer
    if compression is GZIP:
        return gzip.GzipFile(fileobj=target, mode="wb", mtime=0, filename="")
    return nullcontext(target)


def _decompressor(source: Any, compression: Compression) -> AbstractContextManager[Any]:
    if compression is ZSTD:
        zstd = zstandard.ZstdDecompressor()
        reader: AbstractContextManager[Any] = zstd.stream_reader(source, closefd=False)
        return reader
    if compression is GZIP:
        return gzip.GzipFile(fileobj=source, mode="rb")
    return nullcontext(source)
