"""What every request to a remote server has, and how its answers are read."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx

from windvane.ports.regular_file import read_regular_file
from windvane.ports.runtime import CannotLoad, RuntimeFailed

_MOST_AUTHORITIES_BYTES = 8 << 20


def trust(ca: Path | None) -> ssl.SSLContext:
    """The public authorities, and those in the PEM file ``ca``. Raises CannotLoad."""
    context = httpx.create_ssl_context(trust_env=False)
    if ca is not None:
        try:
            # Characters beyond ASCII can only lie in comments.
            held = read_regular_file(ca, _MOST_AUTHORITIES_BYTES).decode("ascii", "ignore")
            context.load_verify_locations(cadata=held)
        except (ssl.SSLError, ValueError) as error:
            raise CannotLoad(f"`remote_ca` is {ca}: there is no certificate in it") from error
        except OSError as error:
            message = error.strerror or type(error).__name__
            raise CannotLoad(f"`remote_ca` is {ca}: {message}") from error
    return context


def request_headers(credential: str) -> dict[str, str]:
    """``credential`` is the value of Authorization, "" for none. Nothing packed is asked for: a
    small answer could become a large one. Raises CannotLoad, without the value."""
    headers = {"accept-encoding": "identity"}
    if credential:
        if not credential.isascii() or not credential.isprintable():
            raise CannotLoad(
                "the credential is no header's value: it has other characters than printable ASCII",
                hint="the whole value in one line, such as `Bearer KEY`",
            )
        headers["authorization"] = credential
    return headers


async def read_bounded(answer: httpx.Response, most: int) -> bytes:
    """Raises RuntimeFailed for more than ``most`` bytes, or for bytes that are packed."""
    _check_plain(answer)
    found = bytearray()
    parts: AsyncIterator[bytes] = answer.aiter_raw(1 << 16)
    async for part in parts:
        found += part
        _check_size(len(found), most)
    return bytes(found)


def read_bounded_now(answer: httpx.Response, most: int) -> bytes:
    """The same of an answer that is waited for."""
    _check_plain(answer)
    found = bytearray()
    parts: Iterator[bytes] = answer.iter_raw(1 << 16)
    for part in parts:
        found += part
        _check_size(len(found), most)
    return bytes(found)


def _check_plain(answer: httpx.Response) -> None:
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        raise RuntimeFailed("its server packs its answer, which was not asked for")


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise RuntimeFailed(f"its server answers more than {most:,} bytes")
