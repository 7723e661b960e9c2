"""A model's log as somebody asks for it: which rows, how many, and how long it may take."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, get_args

from fastapi import Depends, Query

from windvane.apps.console.access import may
from windvane.apps.console.answering import BadLogQuery
from windvane.apps.console.asking import Word
from windvane.apps.console.csv_files import Sheet, moment
from windvane.apps.console.log_reads import LogAnswer, LogReads
from windvane.core.authorization import Action, Principal
from windvane.core.errors import did_you_mean
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore
from windvane.ports.event_log import EventLog, LogKind, RowFilter
from windvane.usecases.explore_log import MOST_ROWS, LogPage, LogQuestion, explore_log
from windvane.usecases.read_model_file import ModelFile, parse_moment

PER_PAGE = 50
KINDS: tuple[LogKind, ...] = get_args(LogKind)
LASTS: Mapping[str, float | None] = {
    "1h": 3_600.0, "1d": 86_400.0, "7d": 604_800.0, "30d": 2_592_000.0, "all": None,
}  # fmt: skip
"""What ``last`` may be, in seconds; None for as long as there is a log."""
_DEFAULT_LAST = "1d"
_FRESH_S = 3.0
_PAGE_WITHIN_S, _PAGE_WAIT_S = 5.0, 6.0
_FILE_WITHIN_S, _FILE_WAIT_S = 20.0, 30.0
_FILE_PAGES = 10
_LATEST = 4_102_444_800.0  # the year 2100
_KINDS_WITH: Mapping[str, tuple[LogKind, ...]] = {
    "version": ("predictions",),
    "code": ("refusals",),
}


@dataclass(frozen=True, slots=True)
class LogAsked:
    """As it was typed, each "" for all: see `LogQuestion`. ``since`` and ``until`` are times,
    ``last`` one of ``LASTS``, which counts where neither of them is given. ``request`` is a
    prediction's id or what the client called it."""

    kind: str = ""
    last: str = ""
    since: str = ""
    until: str = ""
    tenant: str = ""
    version: str = ""
    request: str = ""
    code: str = ""
    before: str = ""

    def query(self) -> dict[str, str]:
        """Without the place."""
        return asdict(replace(self, before=""))

    @property
    def narrowed(self) -> bool:
        return any(v for name, v in self.query().items() if name != "kind")

    @property
    def follows(self) -> bool:
        """Whether new rows would be on the page."""
        return not self.before and not self.until

    @property
    def shown_last(self) -> str:
        return self.last or ("" if self.since or self.until else _DEFAULT_LAST)

    def pointless(self) -> str:
        """What is asked of a kind of row that has no such thing, as a sentence; "" for nothing."""
        kind = self.kind or KINDS[0]
        for name, kinds in _KINDS_WITH.items():
            if getattr(self, name) and kind not in kinds:
                return f"only {kinds[0]} have a {name}: no {kind} are found by it"
        return ""

    def question(self, now: float, limit: int) -> LogQuestion:
        """Raises BadLogQuery."""
        kind = self.kind or KINDS[0]
        if kind not in KINDS:
            message = f"the log has no {kind!r}"
            raise BadLogQuery(message, hint=did_you_mean(kind, KINDS))
        last = self.shown_last
        if last and last not in LASTS:
            raise BadLogQuery(f"{last!r} is no span", hint=f"one of {', '.join(LASTS)}")
        span = LASTS[last] if last else None
        since = 0.0 if span is None else max(0.0, now - span)
        if self.since or self.until:
            since = _time("since", self.since, 0.0)
        until = _time("until", self.until, _LATEST)
        where = RowFilter(self.tenant, self.version, self.request, self.code)
        # Written out for the types: the kind was looked up above.
        found = KINDS[KINDS.index(kind)]
        return LogQuestion(found, since, until, where, self.before, limit)


def _time(name: str, text: str, otherwise: float) -> float:
    if not text:
        return otherwise
    try:
        at = float(text)
    except ValueError:
        try:
            at = parse_moment(text)
        except ValueError as error:
            raise BadLogQuery(f"{name} is no time: {text!r}") from error
    if not 0.0 <= at <= _LATEST:
        raise BadLogQuery(f"{name} lies outside of the years 1970 to 2100: {text!r}")
    return at


def _asked(
    kind: Word = "", last: Word = "", since: Word = "", until: Word = "", tenant: Word = "",
    version: Word = "", request: Annotated[str, Query(max_length=256)] = "", code: Word = "",
    before: Annotated[str, Query(max_length=1_000)] = "",
) -> LogAsked:  # fmt: skip
    return LogAsked(kind, last, since, until, tenant, version, request.strip(), code, before)


LogQuery = Annotated[LogAsked, Depends(_asked)]


class LogExplorer:
    """Reads pages of the log for people; values of requests for who may see them."""

    def __init__(
        self, store: ControlStore, log: EventLog, clock: Clock, log_reads: LogReads
    ) -> None:
        self._store, self._log, self._clock, self._reads = store, log, clock, log_reads

    async def page(
        self, file: ModelFile, asked: LogAsked, who: Principal, limit: int = PER_PAGE
    ) -> LogAnswer[LogPage]:
        """Raises BadLogQuery, TooManyReaders; other problems are in the answer."""
        values = may(who, Action.SEE_VALUES, file)
        question = asked.question(self._clock.now(), limit)
        key = ("log", file.model, asked, limit, who.actor, values)
        return await self._reads.ask(
            key, lambda: self._explore(file, question, who, values, _PAGE_WITHIN_S),
            fresh_s=_FRESH_S, wait_s=_PAGE_WAIT_S,
        )  # fmt: skip

    async def rows(self, file: ModelFile, asked: LogAsked, who: Principal) -> Sheet:
        """The rows from that page on, as many as a file has. Raises BadLogQuery, BadPlace,
        LogTooSlow, LogUnavailable, TooManyReaders, StoreUnavailable."""
        values = may(who, Action.SEE_VALUES, file)
        question = asked.question(self._clock.now(), MOST_ROWS)
        key = ("log file", file.model, asked, who.actor, values)
        return await self._reads.wait_for(
            key, lambda: self._sheet(file, question, who, values),
            fresh_s=_FRESH_S, wait_s=_FILE_WAIT_S,
        )  # fmt: skip

    def _explore(
        self, file: ModelFile, question: LogQuestion, who: Principal, values: bool, within_s: float
    ) -> LogPage:
        return explore_log(
            self._store, self._log, self._clock, file, question,
            actor=who.actor, values=values, within_s=within_s,
        )  # fmt: skip

    def _sheet(self, file: ModelFile, question: LogQuestion, who: Principal, values: bool) -> Sheet:
        rows: list[Mapping[str, Any]] = []
        ends = time.monotonic() + _FILE_WITHIN_S
        following = ""
        for _ in range(_FILE_PAGES):
            left_s = max(0.1, ends - time.monotonic())
            page = self._explore(file, question, who, values, left_s)
            rows += page.rows
            following = page.next
            if not following:
                break
            question = replace(question, before=following)
        cut = f"(cut after {len(rows):,} rows: there may be older ones)" if following else ""
        return log_sheet(question.kind, file, rows, cut, values=values)


_COLUMNS: Mapping[LogKind, tuple[str, ...]] = {
    "predictions": ("ts", "tenant", "prediction_id", "request_id", "row", "routed", "answered",
                    "arm", "rollout", "latency_us", "flags", "outcome_ts"),
    "refusals": ("ts", "tenant", "prediction_id", "request_id", "code"),
    "outcomes": ("ts", "tenant", "event_id", "prediction_id", "row"),
}  # fmt: skip
_VALUES: Mapping[LogKind, tuple[str, ...]] = {
    "predictions": ("unit", "outcome"),
    "refusals": ("message", "sample"),
    "outcomes": ("value",),
}


def log_sheet(
    kind: LogKind, file: ModelFile, rows: Sequence[Mapping[str, Any]], cut: str, *, values: bool
) -> Sheet:
    """With a column for each feature and output, where values are shown."""
    plain = (*_COLUMNS[kind], *(_VALUES[kind] if values else ()))
    features = [s.name for s in file.schema] if values and kind == "predictions" else []
    outputs = list(dict.fromkeys(n for row in rows for n in row.get("outputs") or {}))

    def cells(row: Mapping[str, Any]) -> list[Any]:
        own = [
            moment(row.get(name)) if name in ("ts", "outcome_ts") else row.get(name)
            for name in plain
        ]
        given, made = row.get("features") or {}, row.get("outputs") or {}
        return [*own, *(made.get(n) for n in outputs), *(given.get(n) for n in features)]

    columns = (*plain, *(f"outputs.{n}" for n in outputs), *(f"features.{n}" for n in features))
    return Sheet(kind, columns, [cells(row) for row in rows], cut)
