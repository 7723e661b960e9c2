"""The reader that a notebook has."""

from __future__ import annotations

import datetime as dt
import html
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from windvane.read.sources import ConsoleSource, ReadFailed, Source
from windvane.usecases.read_history import ModelSummary, Question
from windvane.usecases.read_model_file import parse_duration
from windvane.usecases.read_settings import HOME_VARIABLE

if TYPE_CHECKING:
    import pandas as pd

Moment: TypeAlias = "str | float | dt.datetime | None"
"""Seconds since the epoch, a datetime (UTC where it has no zone) or what pandas takes for one,
RFC 3339, or how long ago: ``7d``, ``12h``."""

_KEY_VARIABLE = "WINDVANE_API_KEY"
_MOST = 1_000_000
_TIMES = (
    "ts",
    "start",
    "at",
    "opened_at",
    "closed_at",
    "since",
    "first",
    "last",
    "outcome_ts",
    "changed",
)
_PREDICTION = ("ts", "tenant", "prediction_id", "request_id", "row", "unit", "version", "answered",
               "arm", "rollout", "latency_us", "flags")  # fmt: skip
_COLUMNS = {
    "predictions": _PREDICTION,
    "outcomes": (*_PREDICTION, "outcome", "outcome_ts"),
    "windows": ("start", "version", "arm", "tenant", "rows", "requests", "p50_ms", "p99_ms"),
    "drift": ("start", "against", "feature", "view", "kind", "e", "size", "material", "changed",
              "rows", "outcome", "code", "sentence"),
    "decisions": ("at", "id", "model", "judge", "subject", "action", "outcome", "code", "sentence",
                  "policy_version", "effects"),
    "incidents": ("opened_at", "closed_at", "id", "model", "cause", "kind", "severity", "title",
                  "since", "owner", "runbook"),
}  # fmt: skip


class IncompleteTable(UserWarning):
    """Rows were left out of a table: its ``limit`` was reached, or only the newest are kept."""


def read(
    home_or_url: str | os.PathLike[str] | None = None, *, key: str | None = None, verify: Any = True
) -> Reader:
    """A reader of the home in a folder (by default $WINDVANE_HOME, else ``.windvane``), or of a
    console's address with an API key (by default $WINDVANE_API_KEY). A key with the scope
    ``admin`` reads everything, one with ``read`` its own tenant's predictions, outcomes and
    windows. ``verify``: as httpx has it. Raises ReadFailed."""
    given = os.fspath(home_or_url or os.environ.get(HOME_VARIABLE) or ".windvane")
    if given.startswith(("http://", "https://")):
        secret = key or os.environ.get(_KEY_VARIABLE, "")
        if not secret:
            raise ReadFailed(
                "a console is read with an API key", hint=f"`key=…` or {_KEY_VARIABLE}"
            )
        return Reader(ConsoleSource(given, secret, verify=verify))
    from windvane.read.wiring import open_home

    return Reader(open_home(Path(given).expanduser()))


class Reader:
    """Tables of an installation. Every method asks anew; ``since`` and ``until`` bound the rows
    by their time, [since, until), and a table never has more than ``limit`` rows: a warning of
    IncompleteTable says so."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def models(self) -> pd.DataFrame:
        """Every model: its task, versions, champion, and how much of it there is to read."""
        import_pandas()
        found = [_fields(one) for one in self._source.models()]
        return _frame(found, tuple(ModelSummary.__dataclass_fields__))

    def predictions(
        self, model: str, since: Moment = None, until: Moment = None, tenant: str | None = None,
        *, limit: int = _MOST,
    ) -> pd.DataFrame:  # fmt: skip
        """A row each predicted row: what was asked (``features.NAME``) and answered
        (``outputs.NAME``)."""
        return self._table("predictions", model, since, until, tenant, limit)

    def outcomes(
        self, model: str, since: Moment = None, until: Moment = None, tenant: str | None = None,
        *, limit: int = _MOST,
    ) -> pd.DataFrame:  # fmt: skip
        """The predictions of the span whose outcome is known, each with its latest: a number in
        ``outcome``, or a list of them."""
        found = self._table("outcomes", model, since, until, tenant, limit)
        held = found["outcome"]
        if len(held) and all(len(one) == 1 for one in held):
            found["outcome"] = [one[0] for one in held]
        return found

    def windows(
        self, model: str, since: Moment = None, until: Moment = None, tenant: str | None = None,
        *, limit: int = _MOST,
    ) -> pd.DataFrame:  # fmt: skip
        """Traffic by window, version, arm and tenant: counts, and latencies as the upper edge of
        the bin that the quantile lies in."""
        return self._table("windows", model, since, until, tenant, limit)

    def drift(self, model: str, since: Moment = None, until: Moment = None) -> pd.DataFrame:
        """A row each look and stream of a feature: how far it moved, against the recent past
        (every window) and against the training data (every look at drift)."""
        return self._table("drift", model, since, until, None, _MOST)

    def decisions(
        self, model: str = "", since: Moment = None, until: Moment = None
    ) -> pd.DataFrame:
        """What was decided, by judges and people, of one model or of all."""
        return self._table("decisions", model, since, until, None, _MOST)

    def incidents(
        self, model: str = "", since: Moment = None, until: Moment = None
    ) -> pd.DataFrame:
        """What went wrong; ``closed_at`` is missing while it is open."""
        return self._table("incidents", model, since, until, None, _MOST)

    def __repr__(self) -> str:
        lines = [f"windvane.read: {self._source.place}"]
        found = self._source.models()
        for one in found:
            versions = f"{one.versions} version{'' if one.versions == 1 else 's'}"
            champion = f"champion {one.champion or 'none'}"
            about = f"{one.model} ({one.task}, {versions}, {champion})"
            held = f"{one.predictions:,} predictions, {one.outcomes:,} outcomes{_span(one)}"
            some = one.open_incidents
            opened = f", {some} open incident{'' if some == 1 else 's'}" if some else ""
            lines.append(f"  {about}: {held}{opened}")
        return "\n".join(lines if found else [*lines, "  no model yet"])

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in (
            "model", "task", "versions", "champion", "predictions", "outcomes", "first", "last",
            "open incidents",
        ))  # fmt: skip
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in _cells(one)) + "</tr>"
            for one in self._source.models()
        )
        place = html.escape(self._source.place)
        return f"<p><b>windvane.read</b> {place}</p><table><tr>{head}</tr>{rows}</table>"

    def _table(
        self, table: str, model: str, since: Moment, until: Moment, tenant: str | None, limit: int
    ) -> pd.DataFrame:
        import_pandas()
        if limit < 1:
            raise ReadFailed(f"limit is {limit}, and 1 is the least", hint="leave it out")
        asked = Question(model, tenant=tenant or "")
        bounds = {"since": _seconds("since", since), "until": _seconds("until", until)}
        asked = Question(
            model,
            bounds["since"] if bounds["since"] is not None else asked.since,
            bounds["until"] if bounds["until"] is not None else asked.until,
            tenant or "",
        )
        rows: list[dict[str, Any]] = []
        more = False
        for page in self._source.pages(table, asked, limit):
            rows += page.rows
            more = bool(page.next) or page.truncated
        if more or len(rows) > limit:
            warnings.warn(
                f"{table} of {model or 'all models'}: {min(len(rows), limit):,} rows are read and "
                "there are more; ask for a shorter span or raise `limit`",
                IncompleteTable,
                stacklevel=3,
            )
        found = _frame(rows[:limit], _COLUMNS[table])
        time = _COLUMNS[table][0]
        return found.sort_values(time, kind="stable", ignore_index=True)


def import_pandas() -> Any:
    """Late, for it takes its time. Raises ReadFailed."""
    try:
        import pandas as pd
    except ImportError as error:
        raise ReadFailed("tables are pandas DataFrames, and pandas is not installed",
                         hint="pip install pandas") from error  # fmt: skip
    return pd


def _frame(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> pd.DataFrame:
    pd = import_pandas()
    frame = pd.DataFrame.from_records(rows) if rows else pd.DataFrame(columns=list(columns))
    first = [name for name in columns if name in frame.columns]
    frame = frame[first + [name for name in frame.columns if name not in first]]
    for name in _TIMES:
        if name in frame.columns:
            frame[name] = pd.to_datetime(frame[name].astype("float64"), unit="s", utc=True)
    return frame


def _seconds(name: str, moment: Moment) -> float | None:
    if moment is None or (isinstance(moment, (int, float)) and not isinstance(moment, bool)):
        return None if moment is None else float(moment)
    now = dt.datetime.now(dt.UTC).timestamp()  # noqa: TID251 - of a notebook's user
    if isinstance(moment, str):
        try:
            return now - parse_duration(moment)
        except ValueError:
            pass
    pd = import_pandas()
    try:
        found = pd.Timestamp(moment)
    except (ValueError, TypeError) as error:
        raise ReadFailed(
            f"{name} is {moment!r}, which is no time", hint="`7d`, or 2026-11-28"
        ) from error
    zoned = found.tz_localize("UTC") if found.tzinfo is None else found
    return float(zoned.timestamp())


def _fields(one: ModelSummary) -> dict[str, Any]:
    return {name: getattr(one, name) for name in ModelSummary.__dataclass_fields__}


def _span(one: ModelSummary) -> str:
    if one.first is None or one.last is None:
        return ""
    return f", {_moment(one.first)} to {_moment(one.last)}"


def _moment(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M")


def _cells(one: ModelSummary) -> list[str]:
    return [
        one.model, one.task, str(one.versions), one.champion, f"{one.predictions:,}",
        f"{one.outcomes:,}", _moment(one.first), _moment(one.last), str(one.open_incidents),
    ]  # fmt: skip
