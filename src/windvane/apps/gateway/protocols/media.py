"""Content types: what a body is, and what a client would like to get."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from windvane.apps.gateway.protocols.base import Headers
from windvane.apps.gateway.statuses import UnsupportedMediaType

JSON = "application/json"
CSV = "text/csv"
JSON_LINES = "application/jsonlines"
ARROW = "application/vnd.apache.arrow.stream"
_MAX = 256
_WEIGHT = re.compile(r"0(?:\.[0-9]{0,8})?|1(?:\.0{0,8})?", re.ASCII)
# What tools say of a body when nobody told them what it is.
_UNTOLD = frozenset(
    {"", "application/x-www-form-urlencoded", "text/plain", "application/octet-stream"}
)


@dataclass(frozen=True, slots=True)
class MediaType:
    """``name`` and the parameters in lower case, without quotes."""

    name: str
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])


def content_type(headers: Headers, taken: Iterable[str]) -> MediaType:
    """Of the body, the first of ``taken`` where nothing is said, or nothing that was meant.
    Raises UnsupportedMediaType, which names what is taken."""
    taken = tuple(taken)
    given = headers.get(b"content-type", b"")
    found = _parse(given)
    if found.name in _UNTOLD and found.name not in taken:
        found = MediaType(taken[0], found.parameters)
    if found.name not in taken:
        content_type = given[:80].decode("latin-1")
        raise UnsupportedMediaType(
            f"Content-Type {content_type!r} is none of {', '.join(taken)}",
            hint=f"send {taken[0]}",
        )
    charset = found.parameters.get("charset", "utf-8")
    if charset not in {"utf-8", "utf8", "us-ascii"}:
        raise UnsupportedMediaType(f"charset {charset[:40]!r}, bodies are UTF-8")
    return found


def accepted(headers: Headers, offered: Iterable[str]) -> str:
    """The type of the Accept header with the most weight that is ``offered``, the first of
    several; the first of ``offered`` where there is none. An element whose weight is no number
    from 0 to 1 is ignored.

    Source: RFC 9110, 12.4.2, "Quality Values", and 12.5.1, "Accept".
    """
    offered = tuple(offered)
    given = headers.get(b"accept")
    if given is None or given == b"*/*":
        return offered[0]
    best, most = offered[0], 0.0
    anything = 0.0
    for part in given[:1_024].split(b","):
        found = _parse(part)
        weight = _weight(found)
        if found.name == "*/*":
            anything = max(anything, weight)
        elif found.name in offered and weight > most:
            best, most = found.name, weight
    return best if most >= anything else offered[0]


def _weight(element: MediaType) -> float:
    """0.0 for one that is not to be taken."""
    given = element.parameters.get("q", "1")
    return float(given) if _WEIGHT.fullmatch(given) else 0.0


def _parse(given: bytes) -> MediaType:
    name, *rest = given[:_MAX].decode("latin-1").lower().split(";")
    parameters: dict[str, str] = {}
    for part in rest:
        key, _, value = part.partition("=")
        parameters[key.strip()] = value.strip().strip('"')
    return MediaType(name.strip(), parameters)
