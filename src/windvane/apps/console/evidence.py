"""An incident's evidence, read with care: every key may be absent."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from windvane.apps.console.suspect_answers import SuspectAnswers, suspect_answers
from windvane.apps.console.svg import Histogram, histogram
from windvane.core.alerting import CANARY
from windvane.core.alerting.impact import Hit, harm_words, quality_words, read_hits
from windvane.core.alerting.notification import whom_and_how_many
from windvane.core.drift import Kind, change_sentence
from windvane.ports.control_store import Incident
from windvane.usecases.monitors.sudden_shift import TENANT_FEED

_log = logging.getLogger(__name__)

_ABOUT = ("ts", "tenant", "request_id", "row", "unit", "routed", "answered", "arm", "rollout",
          "latency_us", "flags", "code", "message", "sample")  # fmt: skip
_MOST_NUMBERS = 8
_WORDS: Mapping[str, tuple[str, str]] = {CANARY.name: ("champion", "challenger")}


@dataclass(frozen=True, slots=True)
class Suspect:
    """A feature, largest effect first; ``part`` is its size relative to the first's."""

    feature: str
    size: float
    part: float


@dataclass(frozen=True, slots=True)
class TenantShare:
    """A tenant's rows and the part of them without the first suspect's value."""

    tenant: str
    rows: int | None
    nulls: int | None

    @property
    def part(self) -> float | None:
        return self.nulls / self.rows if self.rows and self.nulls is not None else None


@dataclass(frozen=True, slots=True)
class TenantHit:
    """A share of a tenant's rows that is above its own usual (0 to 1; None: not known)."""

    tenant: str
    what: str
    part: int
    of: int
    now: float | None
    usual: float | None


@dataclass(frozen=True, slots=True)
class Sample:
    """One request: what is known about it, its outputs by name, and its features, the suspects
    first."""

    about: Mapping[str, Any]
    features: tuple[tuple[str, Any], ...]
    suspects: frozenset[str]
    outputs: tuple[tuple[str, Any], ...] = ()

    def suspect(self, name: str) -> bool:
        return name in self.suspects


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the incident's page draws. ``earliest`` is where the interval of the onset begins (s),
    ``changes`` from what to what each suspect went. ``hits`` are shares that rose for tenants,
    ``hurts`` says whom it hurts in the words of the notification, ``quality`` what is known of
    the answers, ``answers`` what the version makes of the first suspect."""

    words: tuple[str, str]
    view: str
    kinds: tuple[str, ...]
    suspects: tuple[Suspect, ...]
    tenants: tuple[TenantShare, ...]
    histograms: tuple[Histogram, ...]
    samples: tuple[Sample, ...]
    last_good: str
    last_good_before: float | None
    earliest: float | None = None
    changes: tuple[str, ...] = ()
    hits: tuple[TenantHit, ...] = ()
    hurts: tuple[str, ...] = ()
    quality: str = ""
    answers: SuspectAnswers | None = None

    @property
    def tenants_counted(self) -> bool:
        return bool(self.tenants) and self.tenants[0].rows is not None

    @property
    def about_nulls(self) -> bool:
        return Kind.NULLS in self.kinds


def evidence_of(incident: Incident) -> Evidence:
    body = incident.evidence
    words = _WORDS.get(incident.kind, ("before", "since then"))
    suspects = _suspects(body)
    last_good = _mapping(body.get("last_good"))
    return Evidence(
        words=words,
        view=str(body.get("view") or ""),
        kinds=tuple(str(k) for k in _list(body.get("kinds"))),
        suspects=suspects,
        tenants=tuple(
            TenantShare(str(t.get("tenant", "")), t.get("rows"), t.get("nulls"))
            for t in map(_mapping, _list(body.get("tenants")))
        ),
        histograms=tuple(
            histogram(
                str(h.get("feature", "")),
                [str(label) for label in _list(h.get("labels"))],
                [int(n) for n in _list(h.get("before"))],
                [int(n) for n in _list(h.get("after"))],
                words,
            )
            for h in map(_mapping, _list(body.get("histograms")))
        ),
        samples=tuple(
            _sample(row, [s.feature for s in suspects])
            for row in map(_mapping, _list(body.get("samples")))
        ),
        last_good=str(last_good.get("version") or ""),
        last_good_before=last_good.get("before"),
        earliest=_number(body.get("earliest")),
        changes=tuple(_changes(body)),
        hits=tuple(_hits(body)),
        hurts=_hurts(body),
        quality=_known_quality(body),
        answers=_answers(body),
    )


def tenant_of_incident(incident: Incident) -> str:
    """Whose inputs changed, "" where it was not one tenant's alone."""
    return incident.cause.partition(":")[2] if incident.kind == TENANT_FEED.name else ""


def _suspects(body: Mapping[str, Any]) -> tuple[Suspect, ...]:
    found = [
        (str(s.get("feature", "")), float(s.get("size") or 0.0))
        for s in map(_mapping, _list(body.get("suspects")))
    ]
    top = max((size for _, size in found), default=0.0) or 1.0
    return tuple(Suspect(name, size, size / top) for name, size in found)


def _changes(body: Mapping[str, Any]) -> Iterator[str]:
    for change in map(_mapping, _list(body.get("changes"))):
        try:
            yield change_sentence(change)
        except (KeyError, TypeError, ValueError, IndexError):
            _log.warning("a change in an incident's evidence cannot be read by this release")


def _hits(body: Mapping[str, Any]) -> Iterator[TenantHit]:
    impact = _mapping(body.get("impact"))
    feature = str(impact.get("feature") or "")
    try:
        found: list[Hit] = read_hits(impact)
    except (KeyError, TypeError, ValueError):
        _log.warning("an incident's impact cannot be read by this release")
        return
    for hit in found:
        what = harm_words(hit.harm, feature)
        yield TenantHit(hit.tenant, what, hit.now.part, hit.now.of, hit.now.value, hit.usual.value)


def _hurts(body: Mapping[str, Any]) -> tuple[str, ...]:
    try:
        return tuple(whom_and_how_many(body))
    except (AttributeError, KeyError, TypeError, ValueError):
        return ()


def _known_quality(body: Mapping[str, Any]) -> str:
    try:
        return quality_words(_mapping(_mapping(body.get("impact")).get("quality")))
    except (KeyError, TypeError, ValueError):
        return ""


def _answers(body: Mapping[str, Any]) -> SuspectAnswers | None:
    try:
        return suspect_answers(body)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        _log.warning("what a version makes of a suspect cannot be read by this release")
        return None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _sample(row: Mapping[str, Any], suspects: list[str]) -> Sample:
    about = {name: row[name] for name in _ABOUT if name in row}
    features = _mapping(row.get("features"))
    names = [*(s for s in suspects if s in features), *(k for k in features if k not in suspects)]
    outputs = tuple((str(k), _short(v)) for k, v in _mapping(row.get("outputs")).items())
    shown = tuple((name, features[name]) for name in names)
    return Sample(about, shown, frozenset(suspects), outputs)


def _short(value: Any) -> Any:
    """An array as its first numbers: a page is no place for an embedding."""
    if isinstance(value, Mapping):
        value = [f"{k} {_short(v)}" for k, v in _mapping(value).items()]
    held = _list(value)
    return [*held[:_MOST_NUMBERS], f"… of {len(held):,}"] if len(held) > _MOST_NUMBERS else value


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
