"""What an installation has seen and done, as tables: read in pages, one after the other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import msgspec
import numpy as np

from windvane.core.authorization import redact_row
from windvane.core.errors import WindvaneError, did_you_mean
from windvane.core.sketch import LATENCY_EDGES_US, TRAFFIC, Sketch
from windvane.ports.control_store import ControlStore, Tx, UnknownName, WindowKey, WindowVerdict
from windvane.ports.event_log import EventLog, RowKind, RowPlace
from windvane.usecases.monitors.sudden_shift import SuddenShift
from windvane.usecases.monitors.training_drift import TrainingDrift
from windvane.usecases.read_model_file import ModelFile, parse_duration, read_model_file

MOST_ROWS = 10_000
"""Of a page."""
TABLES = ("predictions", "outcomes", "windows", "drift", "decisions", "incidents")
OF_ONE_TENANT = frozenset({"predictions", "outcomes", "windows"})
"""The tables whose rows are of one tenant each."""
_END = 4_102_444_800.0  # of the year 2099: no event is later
_CHUNK_WINDOWS = 60
_NEWEST = 10_000
_LOOKS_AT_ONCE = 500
_READING = ("feature", "view", "kind", "e", "size", "material", "changed")
_INCIDENT = (
    "opened_at", "closed_at", "id", "model", "cause", "kind", "severity", "title", "since",
    "owner", "runbook",
)  # fmt: skip
T = TypeVar("T")


class BadPlace(WindvaneError):
    """What says where to go on reading is not what a page gave."""

    code: ClassVar[str] = "RDR-101"
    hint = "give `after` as the page before has it under `next`, for the same question"


class UnknownTable(WindvaneError):
    """There is no table of that name."""

    code: ClassVar[str] = "RDR-102"


@dataclass(frozen=True, slots=True)
class Question:
    """Which rows: [since, until) in seconds since the epoch; ``model`` and ``tenant`` "" for
    all, where the table has such."""

    model: str = ""
    since: float = 0.0
    until: float = _END
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """``next`` says where the following page begins, "" after the last. ``truncated``: older rows
    were left out, for only the newest are kept at hand."""

    rows: list[dict[str, Any]]
    next: str = ""
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """A model and how much of it there is to read; times in seconds since the epoch."""

    model: str
    task: str
    versions: int
    champion: str
    predictions: int
    outcomes: int
    first: float | None
    last: float | None
    open_incidents: int


class History:
    """Reads, never writes. ``within_s`` bounds each question to the log."""

    def __init__(self, store: ControlStore, log: EventLog, within_s: float = 60.0) -> None:
        self._store = store
        self._log = log
        self._within_s = within_s

    def models(self, tenant: str = "") -> list[ModelSummary]:
        """Every model; for a tenant those that it may see, with its own rows counted."""
        out: list[ModelSummary] = []
        with self._store.read() as tx:
            found = [(model.name, read_model_file(model.text)) for model in tx.models()]
            about = {
                name: (tx.deployment(name), len(tx.version_layouts(name)), _opened(tx, name))
                for name, _ in found
            }
        for name, file in found:
            if tenant and file.serve.tenants and tenant not in file.serve.tenants:
                continue
            live, versions, opened = about[name]
            span = self._log.span(name, tenant)
            out.append(
                ModelSummary(
                    name, file.contract.task.kind, versions, live.champion if live else "",
                    span.predictions, span.outcomes, span.first, span.last, opened,
                )
            )  # fmt: skip
        return out

    def page(self, table: str, asked: Question, after: str, limit: int) -> Page:
        """At most ``limit`` rows (up to MOST_ROWS). Raises UnknownTable, UnknownName, BadPlace,
        LogTooSlow."""
        readers: Mapping[str, Callable[[Question, str, int], Page]] = {
            "predictions": self._predictions,
            "outcomes": self._outcomes,
            "windows": self._windows,
            "drift": self._drift,
            "decisions": self._decisions,
            "incidents": self._incidents,
        }
        if table not in readers:
            raise UnknownTable(f"no table {table!r}", hint=did_you_mean(table, TABLES))
        return readers[table](asked, after, min(limit, MOST_ROWS))

    def pages(self, table: str, asked: Question, limit: int) -> Iterator[Page]:
        """Page after page, ``limit`` rows in all at most."""
        after, left = "", limit
        while left > 0:
            page = self.page(table, asked, after, left)
            yield page
            after, left = page.next, left - len(page.rows)
            if not after:
                return

    def _predictions(self, asked: Question, after: str, limit: int) -> Page:
        return self._logged("predictions", asked, after, limit)

    def _outcomes(self, asked: Question, after: str, limit: int) -> Page:
        return self._logged("scored", asked, after, limit)

    def _logged(self, kind: RowKind, asked: Question, after: str, limit: int) -> Page:
        file = self._file(asked.model)
        found = list(
            self._log.rows(
                kind, asked.model, file.contract, asked.since, asked.until,
                tenant=asked.tenant, after=parse_row_place(after), limit=limit,
                within_s=self._within_s,
            )
        )  # fmt: skip
        following = write_row_place(found[-1][0]) if len(found) == limit else ""
        return Page(
            [_flat(redact_row(row, file.pii, file.unit, values=True)) for _, row in found],
            following,
        )

    def _windows(self, asked: Question, after: str, limit: int) -> Page:
        """Whole windows: a page may have a few rows more than it was asked for."""
        window_s = parse_duration(self._file(asked.model).watch.window)
        begin = _number(after) if after else asked.since
        rows: list[dict[str, Any]] = []
        with self._store.read() as tx:
            while len(rows) < limit:
                first = tx.first_windows({asked.model: begin}).get(asked.model)
                if first is None or first >= asked.until:
                    return Page(rows)
                begin = min(first + _CHUNK_WINDOWS * window_s, asked.until)
                rows += _window_rows(tx.sketches(asked.model, first, begin), asked.tenant)
        return Page(rows, json.dumps(begin))

    def _drift(self, asked: Question, after: str, limit: int) -> Page:
        """From the newest look back, whole looks: their readings are many or few."""
        self._file(asked.model)
        until = min(asked.until, _number(after) if after else asked.until)
        rows: list[dict[str, Any]] = []
        oldest, more = asked.since, False
        with self._store.read() as tx:
            windows = tx.verdicts(asked.model, SuddenShift.name, asked.since, _LOOKS_AT_ONCE, until)
            for i, one in enumerate(windows):
                rows += _readings(one)
                if len(rows) >= limit or i + 1 == _LOOKS_AT_ONCE:
                    oldest, more = one.start, True
                    break
            for one in tx.verdicts(asked.model, TrainingDrift.name, oldest, _NEWEST, until):
                rows += _readings(one)
        rows.sort(key=lambda row: -row["start"])
        return Page(rows, json.dumps(oldest) if more else "")

    def _decisions(self, asked: Question, after: str, limit: int) -> Page:
        with self._store.read() as tx:
            found = tx.decisions(_known(tx, asked.model), _NEWEST)
        mine = [d for d in found if asked.since <= d.at < asked.until]
        rows, following = _slice(mine, after, limit)
        return Page(
            [
                {
                    "at": d.at, "id": d.id, "model": d.model, "judge": d.judge,
                    "subject": d.subject, "action": d.action, "outcome": d.verdict.outcome.value,
                    "code": d.verdict.code, "sentence": d.verdict.sentence,
                    "policy_version": d.policy_version,
                    "effects": [effect.kind for effect in d.effects],
                }
                for d in rows
            ],
            following,
            len(found) == _NEWEST and found[-1].at >= asked.since,
        )  # fmt: skip

    def _incidents(self, asked: Question, after: str, limit: int) -> Page:
        with self._store.read() as tx:
            found = tx.incidents(_known(tx, asked.model), _NEWEST)
        mine = [i for i in found if asked.since <= i.opened_at < asked.until]
        rows, following = _slice(mine, after, limit)
        return Page(
            [{name: getattr(i, name) for name in _INCIDENT} for i in rows],
            following,
            len(found) == _NEWEST and found[-1].opened_at >= asked.since,
        )

    def check_visible(self, model: str, tenant: str) -> None:
        """Raises UnknownName where the tenant may not see the model, as if it were not there."""
        with self._store.read() as tx:
            names = {m.name: read_model_file(m.text).serve.tenants for m in tx.models()}
        seen = [name for name, tenants in names.items() if not tenants or tenant in tenants]
        if model not in seen:
            raise UnknownName(f"no model {model!r}", hint=did_you_mean(model, seen))

    def _file(self, model: str) -> ModelFile:
        with self._store.read() as tx:
            return read_model_file(tx.model(model).text)


def _opened(tx: Tx, model: str) -> int:
    return sum(incident.closed_at is None for incident in tx.incidents(model, 1_000))


def _known(tx: Tx, model: str) -> str:
    return tx.model(model).name if model else ""


def _readings(one: WindowVerdict) -> Iterator[dict[str, Any]]:
    against = "training" if one.monitor == TrainingDrift.name else "recent past"
    for reading in one.detail.get("readings", ()):
        yield {
            "start": one.start, "against": against,
            **{name: reading.get(name) for name in _READING}, "rows": one.detail.get("rows"),
            "outcome": str(one.outcome), "code": one.code, "sentence": one.sentence,
        }  # fmt: skip


def _slice(found: Sequence[T], after: str, limit: int) -> tuple[Sequence[T], str]:
    """A page of a list, and where the following one begins."""
    begin = int(_number(after)) if after else 0
    end = begin + limit
    return found[begin:end], str(end) if end < len(found) else ""


def _window_rows(found: list[tuple[WindowKey, Sketch]], tenant: str) -> Iterator[dict[str, Any]]:
    """One row a window, version, arm and tenant; recorders and layouts are added up."""
    merged: dict[tuple[float, str, str, str], list[Any]] = {}
    for key, sketch in found:
        if tenant and key.tenant != tenant:
            continue
        place = (key.start, key.version, key.arm, key.tenant)
        held = merged.setdefault(place, [0, 0])
        held[0] = held[0] + sketch.traffic
        held[1] = held[1] + sketch.latency
    for (start, version, arm, name), (traffic, latency) in sorted(merged.items()):
        yield {
            "start": start, "version": version, "arm": arm, "tenant": name,
            **{column: int(n) for column, n in zip(TRAFFIC, traffic, strict=True)},
            "p50_ms": _latency_ms(latency, 0.5), "p99_ms": _latency_ms(latency, 0.99),
        }  # fmt: skip


def _latency_ms(counts: Any, quantile: float) -> float | None:
    """The upper edge of the bin that it lies in, for it may be as much as that; the last bin has
    none, and gives its lower one."""
    total = int(counts.sum())
    if not total:
        return None
    at = int(np.searchsorted(np.cumsum(counts), quantile * total, side="left"))
    return LATENCY_EDGES_US[min(at, len(LATENCY_EDGES_US) - 1)] / 1_000.0


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Features and outputs as columns of their own, after what is known about the row."""
    out: dict[str, Any] = {}
    for name, value in row.items():
        if name in ("features", "outputs"):
            continue
        out[{"routed": "version"}.get(name, name)] = value
    for part in ("features", "outputs"):
        out |= {f"{part}.{name}": value for name, value in row.get(part, {}).items()}
    return out


def write_row_place(place: RowPlace) -> str:
    return json.dumps(place)


def parse_row_place(text: str) -> RowPlace | None:
    """None for "". Raises BadPlace."""
    if not text:
        return None
    ts, name, row = _parse(text, tuple[int, str, int], "in the log")
    if max(abs(ts), abs(row)) >= 1 << 62 or "\0" in name:
        raise BadPlace("this is no place in the log")
    return RowPlace(ts, name, row)


def _number(text: str) -> float:
    found = _parse(text, float, "among the windows")
    if not 0 <= found <= _END:
        raise BadPlace("this is no place among the windows")
    return found


def _parse(text: str, shape: type[T], where: str) -> T:
    """Nothing else is built on the way: however deep the text is, it is refused at its first
    character that does not fit."""
    try:
        return msgspec.json.decode(text[:1_000], type=shape)
    except (msgspec.DecodeError, ValueError) as error:
        raise BadPlace(f"this is no place {where}") from error
