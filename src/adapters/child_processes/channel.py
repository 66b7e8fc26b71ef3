"""A socket that carries frames."""

from math import ceil
from select import POLLIN, poll
from socket import MSG_DONTWAIT, socket
from struct import Struct as BinaryFormat
from time import monotonic
from typing import Final, Generic, TypeVar

from attrs import define, field
from msgspec import MsgspecError, Struct
from msgspec.msgpack import Decoder, Encoder

from workbell.adapters.child_processes.frames import MAX_FRAME_BYTES

FrameT = TypeVar("FrameT")

_LENGTH: Final = BinaryFormat("!I")
_CHUNK_BYTES: Final = 64 * 1024
_encode = Encoder(enc_hook=repr).encode


class FrameError(Exception):
    """A frame is too long, or is none of the expected ones."""


@define(eq=False)
class FrameChannel(Generic[FrameT]):
    """
    Sends frames, and receives those of `decoder`; each by one thread at a time.

    The socket stays in blocking mode: its timeout would apply to both directions.
    """

    socket: socket
    decoder: Decoder[FrameT]
    _received: bytearray = field(factory=bytearray)
    _poll: poll = field(factory=poll)

    def __attrs_post_init__(self) -> None:
        """Register the socket."""
        self._poll.register(self.socket, POLLIN)

    def send(self, frame: Struct) -> None:
        """
        Send a frame.

        Raises:
            FrameError: The frame is too long or cannot be encoded; nothing was sent.
            OSError: The other process has ended.
        """
        try:
            content = _encode(frame)
        except (MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise FrameError(str(error)) from error
        if len(content) > MAX_FRAME_BYTES:
            raise FrameError(f"A frame of {len(content):,} bytes is too long.")
        self.socket.sendall(_LENGTH.pack(len(content)) + content)

    def receive(self, timeout: float | None) -> FrameT:
        """
        Return the next frame; the next call continues an incomplete one.

        Raises:
            TimeoutError: There was none within `timeout` seconds.
            EOFError: The other process has ended.
            FrameError: The frame is invalid.
        """
        until = None if timeout is None else monotonic() + timeout
        (length,) = _LENGTH.unpack(self._peek(_LENGTH.size, until)[: _LENGTH.size])
        if length > MAX_FRAME_BYTES:
            raise FrameError(f"A frame of {length:,} bytes is too long.")
        end = _LENGTH.size + length
        content = bytes(self._peek(end, until)[_LENGTH.size : end])
        del self._received[:end]
        try:
            return self.decoder.decode(content)
        except MsgspecError as error:
            raise FrameError(str(error)) from error

    def _peek(self, size: int, until: float | None) -> bytearray:
        """Receive until `size` bytes are buffered; return the buffer."""
        while len(self._received) < size:
            try:
                chunk = self.socket.recv(_CHUNK_BYTES, MSG_DONTWAIT)
            except BlockingIOError:
                self._wait(until)
                continue
            except ConnectionError:
                chunk = b""
            if not chunk:
                raise EOFError
            self._received += chunk
        return self._received

    def _wait(self, until: float | None) -> None:
        """Wait for data or the end of the other process; raises TimeoutError."""
        left = None if until is None else until - monotonic()
        if left is not None and left <= 0:
            raise TimeoutError
        self._poll.poll(None if left is None else ceil(left * 1000))
