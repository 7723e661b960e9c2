"""Bodies that are compressed: taken apart within the bound that holds for plain ones."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping

from windvane.apps.gateway.statuses import UnsupportedEncoding
from windvane.inference.errors import BodyTooLarge

_MAX_WINDOW = 1 << 23


def decompress(body: bytes, encoding: bytes, max_bytes: int) -> bytes:
    """The plain body. Raises UnsupportedEncoding, BodyTooLarge as soon as it is too large."""
    name = encoding.strip().lower()
    if name in (b"", b"identity"):
        return body
    take_apart = _ENCODINGS.get(name)
    if take_apart is None:
        raise UnsupportedEncoding(f"Content-Encoding {name[:32].decode('latin-1')!r}")
    try:
        return take_apart(body, max_bytes)
    except (zlib.error, ValueError, EOFError) as error:
        raise UnsupportedEncoding(f"the body is not {name.decode()}: {error}") from error


def _gzip(body: bytes, max_bytes: int) -> bytes:
    made = zlib.decompressobj(wbits=31)
    plain = made.decompress(body, max_bytes + 1)
    if len(plain) > max_bytes:
        raise BodyTooLarge(f"over {max_bytes:,} bytes once it is decompressed")
    if not made.eof or made.unused_data:
        raise ValueError("it is cut short, or has something behind its end")
    return plain


def _zstd(body: bytes, max_bytes: int) -> bytes:
    import zstandard

    made = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
    try:
        # The reader is bounded but does not tell a whole frame from one that is cut short, and
        # what does tell is not bounded: so the bound first.
        with made.stream_reader(body) as reader:
            if len(reader.read(max_bytes + 1)) > max_bytes:
                raise BodyTooLarge(f"over {max_bytes:,} bytes once it is decompressed")
        whole = made.decompressobj()
        plain = whole.decompress(body)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
    if not whole.eof or whole.unused_data:
        raise ValueError("it is cut short, or has something behind its end")
    return plain


_ENCODINGS: Mapping[bytes, Callable[[bytes, int], bytes]] = {b"gzip": _gzip, b"zstd": _zstd}
