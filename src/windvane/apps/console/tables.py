"""Searching and paging of long tables, on the server. Links keep what was asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import urlencode

from windvane.core.alerting import Severity
from windvane.ports.control_store import Incident

T = TypeVar("T")
PER_PAGE = 48
LONGEST = 128
STATES = ("open", "closed")
ACKNOWLEDGED = ("yes", "no")
SEVERITIES = tuple(severity.value for severity in reversed(Severity))


@dataclass(frozen=True, slots=True)
class Paged(Generic[T]):
    """One page of ``total`` rows; ``page`` counts from 1. ``query`` is what was asked for, without
    the page."""

    rows: Sequence[T]
    page: int
    total: int
    per_page: int
    path: str
    query: Mapping[str, str]

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.per_page))

    @property
    def first(self) -> int:
        """The number of the first row on this page, from 1."""
        return (self.page - 1) * self.per_page + 1 if self.rows else 0

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1 if self.rows else 0

    def link(self, page: int) -> str:
        kept = {name: value for name, value in self.query.items() if value}
        if page > 1:
            kept["page"] = str(page)
        return f"{self.path}?{urlencode(kept)}" if kept else self.path


def paged(
    rows: Sequence[T], page: str, path: str, query: Mapping[str, str], per_page: int = PER_PAGE
) -> Paged[T]:
    """The page that was asked for; the last one instead of one behind it, the first instead of
    what is no number."""
    last = max(1, -(-len(rows) // per_page))
    known = page.isascii() and page.isdigit() and len(page) < 9
    number = min(last, max(1, int(page))) if known else 1
    begin = (number - 1) * per_page
    return Paged(rows[begin : begin + per_page], number, len(rows), per_page, path, query)


def csv_link(path: str, query: Mapping[str, str]) -> str:
    kept = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(kept)}" if kept else path


def search(rows: Sequence[T], text: str, words_of: Callable[[T], Sequence[str]]) -> list[T]:
    """Rows in whose words every word of ``text`` is found, in upper or lower case."""
    wanted = text[:LONGEST].casefold().split()
    if not wanted:
        return list(rows)
    out: list[T] = []
    for row in rows:
        held = "\n".join(words_of(row)).casefold()
        if all(word in held for word in wanted):
            out.append(row)
    return out


@dataclass(frozen=True, slots=True)
class IncidentsAsked:
    """Which incidents, each "" for all: ``state`` is open or closed, ``acknowledged`` yes (somebody
    said that they are on it) or no."""

    model: str = ""
    state: str = ""
    severity: str = ""
    kind: str = ""
    acknowledged: str = ""
    q: str = ""
    page: str = ""

    def query(self) -> dict[str, str]:
        return {
            "model": self.model, "state": self.state, "severity": self.severity,
            "kind": self.kind, "acknowledged": self.acknowledged, "q": self.q,
        }  # fmt: skip

    @property
    def narrowed(self) -> bool:
        return any(value for name, value in self.query().items() if name != "model")


def filter_incidents(found: Sequence[Incident], asked: IncidentsAsked) -> list[Incident]:
    """What is no state, severity, kind or answer finds nothing."""
    kept = [
        i
        for i in found
        if (not asked.model or i.model == asked.model)
        and (not asked.state or asked.state == ("open" if i.closed_at is None else "closed"))
        and (not asked.severity or i.severity == asked.severity)
        and (not asked.kind or i.kind == asked.kind)
        and asked.acknowledged in ("", "yes" if i.acknowledged_by else "no")
    ]
    return search(kept, asked.q, lambda i: (i.id, i.title, i.model, i.owner, i.cause))
