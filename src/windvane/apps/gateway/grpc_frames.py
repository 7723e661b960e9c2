"""HTTP/2 frames by their heads alone, and what a connection's calls have sent of their messages.

Nothing is decoded: a frame's kind, flags, stream and length say how much of a call came, whether
that was all, and whether it was answered. Source: RFC 9113, sections 4.1 and 6.
"""

from __future__ import annotations

from typing import NamedTuple

_HEAD = 9
_PREFACE = 24  # what a client sends before its first frame
_DATA, _HEADERS, _RST_STREAM, _CONTINUATION = 0x0, 0x1, 0x3, 0x9
_END_STREAM, _END_HEADERS = 0x1, 0x4
_ENHANCE_YOUR_CALM = 0xB  # gRPC clients make RESOURCE_EXHAUSTED of it


class Frame(NamedTuple):
    """``length`` is that of its payload, in bytes, of which some may not have come yet."""

    kind: int
    flags: int
    stream: int
    length: int

    @property
    def ends_stream(self) -> bool:
        ends = self.kind in {_DATA, _HEADERS} and self.flags & _END_STREAM
        return bool(ends) or self.kind == _RST_STREAM


class FrameReader:
    """One direction of a connection, whose first ``skip`` bytes are no frames."""

    __slots__ = ("_head", "_in_block", "boundary", "left")

    def __init__(self, skip: int = 0) -> None:
        self.left = skip
        """Bytes of the last frame that did not come yet."""
        self.boundary = -1
        """Where in the bytes that were fed last another frame may be put in, the last such
        place; -1 for nowhere."""
        self._head = b""
        self._in_block = False  # header lines go on in the next frame, and nothing may be between

    @property
    def between_frames(self) -> bool:
        return not (self.left or self._head or self._in_block)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames whose heads end in ``data``."""
        found: list[Frame] = []
        size = len(data)
        at = min(self.left, size)
        self.left -= at
        self.boundary = -1
        while not self.left:
            if not self._in_block and not self._head:
                self.boundary = at
            if at >= size:
                break
            head = self._head + data[at : at + _HEAD - len(self._head)]
            at += len(head) - len(self._head)
            if len(head) < _HEAD:
                self._head = head
                break
            self._head = b""
            length = int.from_bytes(head[:3], "big")
            kind, flags = head[3], head[4]
            found.append(Frame(kind, flags, int.from_bytes(head[5:], "big") & 0x7FFFFFFF, length))
            if kind in {_HEADERS, _CONTINUATION}:
                self._in_block = not flags & _END_HEADERS
            came = min(length, size - at)
            at += came
            self.left = length - came
        return found


class HalfSent:
    """The calls of a connection whose messages are not whole and that have no answer: since when
    each is so (seconds), and the bytes that came or are announced. A call costs
    ``bytes_a_call`` more, for what its head takes once it is unpacked."""

    def __init__(self, bytes_a_call: int) -> None:
        self._a_call = bytes_a_call
        self._calls: dict[int, list[float]] = {}  # in the order in which they came
        self._ending = 0  # the stream whose last frame did not come as a whole yet
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._calls)

    def note_client(self, frames: list[Frame], left: int, now: float) -> None:
        """``left`` bytes of the last frame, of these or of those before, are still to come."""
        if self._ending and (frames or not left):
            self._end(self._ending)
            self._ending = 0
        for frame in frames:
            whole = frame is not frames[-1] or not left
            if whole and frame.ends_stream:
                self._end(frame.stream)
                continue
            if frame.kind == _HEADERS and frame.stream not in self._calls:
                self._calls[frame.stream] = [now, self._a_call]
                self.bytes += self._a_call
            held = self._calls.get(frame.stream)
            if held is not None and frame.kind in {_DATA, _HEADERS, _CONTINUATION}:
                held[1] += frame.length
                self.bytes += frame.length
                if frame.ends_stream:
                    self._ending = frame.stream

    def note_server(self, frames: list[Frame]) -> None:
        for frame in frames:
            if frame.ends_stream:
                self._end(frame.stream)

    def give_up_before(self, since: float) -> list[int]:
        """Forget the calls that are so since before ``since``; their streams."""
        late: list[int] = []
        for stream, (began, _) in self._calls.items():
            if began >= since:
                break
            late.append(stream)
        for stream in late:
            self._end(stream)
        return late

    def give_up_to(self, size: int) -> list[int]:
        """Forget the oldest calls until ``size`` bytes are left, or fewer; their streams."""
        given_up: list[int] = []
        while self.bytes > size:
            stream = next(iter(self._calls))
            given_up.append(stream)
            self._end(stream)
        return given_up

    def _end(self, stream: int) -> None:
        held = self._calls.pop(stream, None)
        if held is not None:
            self.bytes -= int(held[1])


def client_frames() -> FrameReader:
    """What a client sends: its preface, then frames."""
    return FrameReader(_PREFACE)


def resets(streams: list[int]) -> bytes:
    """Frames that end the streams."""
    return b"".join(
        b"\x00\x00\x04\x03\x00" + stream.to_bytes(4, "big") + _ENHANCE_YOUR_CALM.to_bytes(4, "big")
        for stream in streams
    )
