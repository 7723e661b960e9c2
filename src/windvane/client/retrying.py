"""When a request is sent again, and how long before. No network and no clock of its own."""

from __future__ import annotations

import os
import random
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import httpx

from windvane.client.calls import API_VERSION, Call, compressed, error_of
from windvane.client.errors import ApiError, BadArgument, NoResponse

T = TypeVar("T")
KEY_VARIABLE = "WINDVANE_API_KEY"
MAX_ANSWER_BYTES = 64 << 20
_CONNECT_S = 5.0
_LONGEST_DEADLINE_S = 86_400.0
_MOST = 1_000_000  # retries, rows, connections
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 5.0
# What may be sent again because nothing came of it: over a limit, overloaded or not ready, and
# the same request under way already.
_AGAIN = {409, 429, 503}
# Nothing was sent yet.
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True, slots=True)
class Options:
    """How a client talks. ``deadline_s`` is for a call with all its retries, of which there are
    at most ``retries``; bodies over ``compress_above`` bytes go as gzip (None: never)."""

    url: str
    api_key: str = field(repr=False)
    deadline_s: float = 10.0
    retries: int = 4
    compress_above: int | None = 32_768
    max_rows: int = 1_000
    connections: int = 20
    dice: Callable[[], float] = field(default=random.random, repr=False)
    monotonic: Callable[[], float] = field(default=time.monotonic, repr=False)

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            httpx.URL(self.url)
            _ = parts.port  # read only now, and refused where it is no port
        except (ValueError, httpx.InvalidURL) as error:
            raise BadArgument(f"{self.url[:40]!a} is no address: {error}",
                              hint="https://host:port") from error  # fmt: skip
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise BadArgument(f"{parts.scheme or self.url[:40]!r} is no address of a gateway",
                              hint="https://host:port")  # fmt: skip
        if parts.username or parts.password:
            raise BadArgument("the address holds a user or a password", hint="give `api_key`")
        if not (self.api_key and self.api_key.isascii() and self.api_key.isprintable()):
            reason = "no API key was given" if not self.api_key else "the API key is not printable"
            raise BadArgument(reason, hint=f"`api_key=...`, or the environment's {KEY_VARIABLE}")
        check_deadline(self.deadline_s)
        counts = {"retries": 0, "max_rows": 1, "connections": 1}
        for name, least in counts.items():
            if not _is_count(getattr(self, name), least):
                raise BadArgument(f"{name} must be a whole number from {least} on")

    @property
    def limits(self) -> httpx.Limits:
        return httpx.Limits(
            max_connections=self.connections, max_keepalive_connections=self.connections
        )


def check_deadline(given: Any) -> None:
    """Raises BadArgument. Longer ones overflow what waits for a socket; NaN never ends."""
    if not isinstance(given, int | float) or not 0.0 < given <= _LONGEST_DEADLINE_S:
        wanted = f"must be seconds above 0, up to {_LONGEST_DEADLINE_S:,.0f}"
        raise BadArgument(f"a deadline {wanted}")


def closed() -> ApiError:
    """The error of a call through a client that was closed."""
    return BadArgument("this client is closed", hint="make another one")


def _is_count(given: Any, least: int) -> bool:
    return isinstance(given, int) and least <= given <= _MOST


def key_of(given: str | None) -> str:
    """The key that was given, else the environment's."""
    return (given if given is not None else os.environ.get(KEY_VARIABLE, "")).strip()


def trust(verify: bool | str | ssl.SSLContext) -> bool | ssl.SSLContext:
    """Whom to believe: the usual authorities, a file of one's own, or (False) anybody."""
    if not isinstance(verify, str):
        return verify
    try:
        return ssl.create_default_context(cafile=verify)
    except (OSError, ValueError) as error:
        raise BadArgument(f"verify: {verify} holds no certificates: {error}") from error


@dataclass(frozen=True, slots=True)
class Again:
    """The request is sent again after ``wait_s``."""

    wait_s: float


class Attempts(Generic[T]):
    """One call's: the client asks for the next request, sends it, and says what came."""

    def __init__(self, options: Options, call: Call[T], deadline_s: float | None) -> None:
        if deadline_s is None:
            deadline_s = options.deadline_s
        else:
            check_deadline(deadline_s)
        self._options = options
        self._call = call
        self._until = options.monotonic() + deadline_s
        self._made = 0
        self.body, self._encoding = compressed(call.body, options.compress_above)

    @property
    def left_s(self) -> float:
        return self._until - self._options.monotonic()

    def timeout(self) -> httpx.Timeout:
        left = max(0.001, self.left_s)
        return httpx.Timeout(left, connect=min(left, _CONNECT_S))

    def headers(self) -> dict[str, str]:
        out = {
            "authorization": f"Bearer {self._options.api_key}",
            "windvane-version": API_VERSION,
            **self._call.headers,
        }
        if self._call.body:
            out |= {"content-type": "application/json", **self._encoding}
        if self._call.deadline_is_asked:
            out["x-request-deadline"] = f"{max(1, round(self.left_s * 1e3))}ms"
        return out

    def failed(self, error: Exception) -> Again:
        """No response came. Raises NoResponse."""
        out_of_time = isinstance(error, httpx.TimeoutException | TimeoutError)
        reason = "no response in time" if out_of_time else f"{type(error).__name__}: {error}"
        failure = NoResponse(f"{self._options.url}: {reason}")
        if not (self._call.safe or isinstance(error, _UNSENT)):
            raise failure from error
        return self._pause(failure, error)

    def answered(self, status: int, headers: Mapping[str, str], body: bytes) -> T | Again:
        """The result, or that it is worth another try. Raises ApiError."""
        if 200 <= status < 300:
            return self._call.read(body, headers)
        error = error_of(status, headers, body)
        if status not in _AGAIN or (status == 409 and not self._call.safe):
            raise error
        return self._pause(error, None)

    def _pause(self, error: ApiError, cause: Exception | None) -> Again:
        """Full jitter, on top of what the gateway asks for."""
        most = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(self._made, 16))
        pause = error.retry_after_s + most * self._options.dice()
        self._made += 1
        if self._made > self._options.retries or pause >= self.left_s:
            raise error from cause
        return Again(pause)


def too_large(size: int) -> ApiError:
    return ApiError(f"an answer of over {size:,} bytes, {MAX_ANSWER_BYTES:,} are taken")


def plain_headers(response: httpx.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}
