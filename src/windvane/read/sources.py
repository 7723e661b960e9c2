"""Where a reader's rows come from: a home on this machine, or a console."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from functools import partial
from typing import Any, ClassVar, Protocol

import httpx

from windvane.core.errors import WindvaneError
from windvane.usecases.read_history import (
    MOST_ROWS,
    TABLES,
    History,
    ModelSummary,
    Page,
    Question,
)

_MOST_BYTES = 256 << 20
_TRIES = 3


class ReadFailed(WindvaneError):
    """The rows could not be read: no console at this address, a key that is not good for it, or
    something that reading needs is not installed."""

    code: ClassVar[str] = "RDR-103"
    hint = "docs/howto/read-from-a-notebook.md says what `windvane.read` takes"


class Source(Protocol):
    """Pages of tables."""

    @property
    def place(self) -> str:
        """For people, without a secret."""
        ...

    def models(self) -> list[ModelSummary]: ...
    def pages(self, table: str, asked: Question, limit: int) -> Iterator[Page]: ...


class HomeSource:
    """A home on this machine."""

    def __init__(self, opened: Callable[[], AbstractContextManager[History]], place: str) -> None:
        self._opened = opened
        self.place = place

    def models(self) -> list[ModelSummary]:
        with self._opened() as history:
            return history.models()

    def pages(self, table: str, asked: Question, limit: int) -> Iterator[Page]:
        with self._opened() as history:
            yield from history.pages(table, asked, limit)


class ConsoleSource:
    """A console's control API, by a key."""

    def __init__(self, url: str, key: str, *, verify: Any = True, deadline_s: float = 90.0) -> None:
        self.place = _without_password(url.rstrip("/"))
        self._open = partial(
            httpx.Client,
            base_url=url.rstrip("/"),
            headers={"Authorization": f"Bearer {key}"},
            timeout=httpx.Timeout(deadline_s, connect=5.0),
            verify=verify,
        )

    def models(self) -> list[ModelSummary]:
        with self._open() as client:
            found: list[Mapping[str, Any]] = self._get(client, "models", {})
        return [ModelSummary(**row) for row in found]

    def pages(self, table: str, asked: Question, limit: int) -> Iterator[Page]:
        after, left = "", limit
        with self._open() as client:
            while left > 0:
                wanted = {**asdict(asked), "after": after, "limit": min(left, MOST_ROWS)}
                given = {name: value for name, value in wanted.items() if value != ""}
                body = self._get(client, table, given)
                rows = [_without_base64(row) for row in body["rows"]]
                yield Page(rows, body["next"], body["truncated"])
                after, left = body["next"], left - len(rows)
                if not after:
                    return

    def _get(self, client: httpx.Client, table: str, query: Mapping[str, Any]) -> Any:
        assert table in (*TABLES, "models")
        path = f"/api/read/{table}"
        for attempt in range(_TRIES):
            try:
                with client.stream("GET", path, params=dict(query)) as answer:
                    body = _bounded(answer)
                    status = answer.status_code
            except httpx.TransportError as error:
                if attempt + 1 < _TRIES:
                    continue
                message = f"{self.place} did not answer: {error}"
                raise ReadFailed(message, hint="is the console up at this address?") from error
            except httpx.InvalidURL as error:
                raise ReadFailed(f"{self.place} is no address: {error}") from error
            found = _decoded(body)
            if status == httpx.codes.OK and found is not None:
                return found
            if isinstance(found, dict) and {"code", "message"} <= found.keys():
                raise ReadFailed(f"{found['code']} {found['message']}", hint=found.get("hint", ""))
            raise ReadFailed(f"{self.place}{path} answered {status}, and no table")
        raise AssertionError("the last attempt returns or raises")


def _without_password(url: str) -> str:
    before, at, host = url.rpartition("@")
    return before.partition("//")[0] + "//" + host if at else url


def _bounded(answer: httpx.Response) -> bytes:
    parts: list[bytes] = []
    size = 0
    for part in answer.iter_bytes():
        size += len(part)
        if size > _MOST_BYTES:
            raise ReadFailed(f"a page of more than {_MOST_BYTES:,} bytes")
        parts.append(part)
    return b"".join(parts)


def _decoded(body: bytes) -> Any:
    import msgspec

    try:
        return msgspec.json.decode(body)
    except msgspec.MsgspecError:
        return None


def _without_base64(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has no bytes: they come as ``{"base64": …}``."""
    for name, value in row.items():
        if isinstance(value, dict) and value.keys() == {"base64"}:
            row[name] = base64.b64decode(value["base64"])
    return row
