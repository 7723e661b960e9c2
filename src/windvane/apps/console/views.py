"""From records to what the pages show. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from windvane.apps.console import times
from windvane.apps.console.colours import colour_of
from windvane.apps.console.health import sign_of
from windvane.apps.console.overview import TONES, Overview
from windvane.apps.console.reading import Glance, ModelPage
from windvane.apps.console.svg import sparkline
from windvane.apps.console.traffic import Tally, TenantTraffic, by_tenant, summed_until
from windvane.core.alerting import Severity
from windvane.core.health import Health, Tone
from windvane.core.verdict import Outcome
from windvane.ports.control_store import Deployment, Incident, WindowVerdict
from windvane.usecases.monitors.refusals import Refusals
from windvane.usecases.observe_health import is_urgent

RANGES = (30, 60, 120, 240, 480)
DEFAULT_RANGE = 60
TENANTS = 40
_LOUDEST = (Tone.BAD, Tone.WARN, Tone.BUSY, Tone.GOOD, Tone.QUIET)
_BEHIND_WINDOWS = 3
_TENANTS_NAMED = 10
_UNANSWERING = ("HLT-501", "HLT-502")


@dataclass(frozen=True, slots=True)
class Weight:
    """A version's part of the traffic; ``role`` in a word."""

    version: str
    role: str
    share: float

    @property
    def colour(self) -> int:
        return colour_of(self.version)


@dataclass(frozen=True, slots=True)
class Numbers:
    """A few figures over a page's windows."""

    requests: int
    unanswered: int
    unanswered_rate: float | None
    refused_rate: float | None
    p50: float | None
    p99: float | None
    error_rate: float | None
    fell_back_rate: float | None


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model in the list."""

    name: str
    owner: str
    consumers: tuple[str, ...]
    tier: str
    health: Health
    weights: tuple[Weight, ...]
    numbers: Numbers
    over: str
    window: str
    spark: Markup
    peak: int
    incidents: tuple[Incident, ...]
    behind: str
    live: bool


@dataclass(frozen=True, slots=True)
class State:
    """The state of the world in one sentence, and models by health."""

    tone: Tone
    sentence: str
    words: tuple[tuple[str, Tone, int], ...]
    recorded: float | None

    @property
    def sign(self) -> str:
        return sign_of(self.tone)


@dataclass(frozen=True, slots=True)
class Chart:
    """Data of one time series; ``sentence`` is the same in words."""

    id: str
    title: str
    unit: str
    sentence: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TenantRow:
    """A tenant's traffic over the page's windows."""

    name: str
    tally: Tally
    requests: tuple[int, ...]
    last: float
    verdict: WindowVerdict | None

    @property
    def spark(self) -> Markup:
        return sparkline(self.requests, f"requests of {self.name} by window")


def model_card(glance: Glance) -> ModelCard:
    line = glance.line
    requests = line.values(lambda t: t.requests)
    peak = max((int(n) for n in requests if n is not None), default=0)
    window = times.about(line.grid.window_s)
    label = f"requests in each window of {window}; {line.all.requests:,} in all, {peak:,} at most"
    return ModelCard(
        name=glance.record.name,
        owner=owner_of(glance),
        consumers=tuple(glance.file.consumers),
        tier=glance.file.tier,
        health=glance.health,
        weights=weights_now(glance.live),
        numbers=numbers(line.all),
        over=times.about(line.grid.window_s * len(line.grid.starts)),
        window=window,
        spark=sparkline(requests, label),
        peak=peak,
        incidents=tuple(sort_incidents(glance.incidents)),
        behind=behind(glance),
        live=glance.live is not None,
    )


def sort_cards(cards: Iterable[ModelCard]) -> list[ModelCard]:
    """Loudest first; those that are alike stay in their order."""
    return sorted(cards, key=lambda card: _LOUDEST.index(card.health.tone))


def state_of(overview: Overview, cards: Sequence[ModelCard]) -> State:
    """What a person should know before they read anything else."""
    opened = overview.open_incidents
    words = (
        Counter((card.health.word, card.health.tone) for card in cards)
        if overview.whole
        else Counter({(state, TONES[state]): n for state, n in overview.states.items()})
    )
    ranked = sorted(words.items(), key=lambda item: _LOUDEST.index(item[0][1]))
    if opened:
        high = sum(i.severity == Severity.HIGH for i in opened)
        names = sorted({i.model for i in opened})
        where = names[0] if len(names) == 1 else _counted(len(names), "model")
        message = f"{_counted(len(opened), 'open incident')} on {where}"
        message += (
            f", {'' if len(opened) == high == 1 else f'{high} '}of high severity" if high else ""
        )
    else:
        loud = sum(n for (_, tone), n in words.items() if tone in (Tone.WARN, Tone.BAD))
        message = "No open incident" + (
            f", but {_counted(loud, 'model')} to look at" if loud else ""
        )
    tones = {tone for (_, tone), n in words.items() if n}
    if Tone.BAD in tones or any(is_urgent(i) for i in opened):
        tone = Tone.BAD
    elif opened or Tone.WARN in tones:
        tone = Tone.WARN
    else:
        tone = Tone.GOOD if tones & {Tone.GOOD, Tone.BUSY} else Tone.QUIET
    return State(
        tone,
        message,
        tuple((word, tone, n) for (word, tone), n in ranked),
        overview.recorded or None,
    )


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def owner_of(glance: Glance) -> str:
    owner = glance.file.owner
    return f"{owner.team} {owner.contact}".strip()


def numbers(tally: Tally) -> Numbers:
    return Numbers(
        tally.requests,
        tally.unanswered,
        tally.unanswered_rate,
        tally.refused_rate,
        tally.latency_ms(0.5),
        tally.latency_ms(0.99),
        tally.error_rate,
        tally.fell_back_rate,
    )


def behind(glance: Glance) -> str:
    """A sentence where nothing was recorded for some windows, which is not "no traffic"."""
    recorded, given = glance.grid.recorded, glance.grid
    if not recorded or glance.live is None:  # of a spool that has just begun it is 0
        return ""
    gap = given.open - recorded
    if gap <= _BEHIND_WINDOWS * given.window_s:
        return ""
    return f"nothing was recorded since {times.utc(recorded)}: is the recorder running?"


def weights_now(live: Deployment | None, *, watched: bool = False) -> tuple[Weight, ...]:
    """Who answers, or is ``watched`` for somebody else does."""
    if live is None:
        return ()
    out: list[Weight] = []
    rest = 1.0 - (live.share if live.challenger else 0.0)
    if live.standing_in:
        out.append(Weight(live.standing_in, "standing in", rest))
    else:
        out.append(Weight(live.champion, "watched" if watched else "champion", rest))
    if live.challenger and live.share > 0.0:
        out.append(Weight(live.challenger, "challenger", live.share))
    if live.standing_in:
        out.append(Weight(live.champion, "champion, resting", 0.0))
    own = list(live.stand_ins.items())[:_TENANTS_NAMED]
    out += [Weight(version, f"stands in for tenant {tenant}", 0.0) for tenant, version in own]
    return tuple(out)


def unfold_versions(glance: Glance) -> bool:
    """Whether another version is what is wanted next: nothing is live, or nobody is answered."""
    return glance.live is None or glance.health.code in _UNANSWERING


def charts(page: ModelPage) -> tuple[Chart, ...]:
    """Traffic, latency and failures over the page's windows, in colours that no version has."""
    line = page.glance.line
    incidents = (*page.glance.incidents, *page.closed)
    first = line.grid.starts[0]
    marks = [{"t": i.since, "label": i.title[:80]} for i in incidents if i.since >= first]

    def chart(
        name: str,
        title: str,
        unit: str,
        lines: Sequence[tuple[str, str, Callable[[Tally], float | None]]],
    ) -> Chart:
        values = [(label, colour, _rounded(line.values(of))) for label, colour, of in lines]
        sentence = "; ".join(_described(label, known, unit) for label, _, known in values)
        drawn = [
            {"label": label, "colour": colour, "values": known} for label, colour, known in values
        ]
        data = {"t": list(line.grid.starts), "unit": unit, "series": drawn, "marks": marks}
        return Chart(name, title, unit, sentence, data)

    return (
        chart(
            "traffic",
            "Requests",
            "",
            [
                ("answered", "ink", lambda t: t.requests),
                ("not answered", "bad", lambda t: t.unanswered),
                ("refused", "soft", lambda t: t.refused),
            ],
        ),
        chart(
            "latency",
            "Latency",
            "ms",
            [
                ("p50", "ink", lambda t: t.latency_ms(0.5)),
                ("p99", "soft", lambda t: t.latency_ms(0.99)),
            ],
        ),
        chart(
            "failures",
            "Failures",
            "%",
            [
                ("not answered", "bad", lambda t: _percent(t.unanswered_rate)),
                ("errors", "ink", lambda t: _percent(t.error_rate)),
                ("fell back", "soft", lambda t: _percent(t.fell_back_rate)),
            ],
        ),
    )


def _percent(value: float | None) -> float | None:
    return None if value is None else value * 100.0


def range_of(windows: str) -> int:
    """The asked number of windows, if it is one of those offered."""
    return int(windows) if windows in map(str, RANGES) else DEFAULT_RANGE


def _rounded(values: Sequence[float | None]) -> list[float | None]:
    return [None if v is None else round(v, 3) for v in values]


def _described(label: str, values: Sequence[float | None], unit: str) -> str:
    known = [v for v in values if v is not None]
    if not known:
        return f"{label}: nothing yet"
    low, high = f"{min(known):,.4g}", f"{max(known):,.4g}"
    return f"{label}: {low} to {high}{unit and ' ' + unit}, last {known[-1]:,.4g}"


def tenant_rows(page: ModelPage) -> list[TenantRow]:
    """Tenants with a finding, then the busiest."""
    latest = page.glance.latest

    def finding(row: TenantTraffic) -> bool:
        verdict = latest.get((Refusals.name, row.tenant))
        return verdict is not None and verdict.outcome in (Outcome.FAIL, Outcome.ERROR)

    rows = sorted(by_tenant(page.found, page.glance.grid), key=lambda r: not finding(r))
    return [
        TenantRow(r.tenant, r.tally, r.requests, r.last, latest.get((Refusals.name, r.tenant)))
        for r in rows
    ]


def latest_verdicts(glance: Glance) -> list[WindowVerdict]:
    """Worst first, then the model's own subjects before its tenants'."""
    rank = {"fail": 0, "error": 1, "hold": 2, "pass": 3}
    return sorted(
        glance.latest.values(),
        key=lambda v: (rank.get(v.outcome, 0), v.subject != "", v.monitor, v.subject),
    )


def sort_incidents(incidents: Sequence[Incident]) -> list[Incident]:
    """Open before closed, severe before mild, new before old."""
    rank = {"high": 0, "medium": 1, "low": 2}
    return sorted(
        incidents,
        key=lambda i: (
            i.closed_at is not None,
            rank.get(i.severity, 3) if i.closed_at is None else 0,
            -i.opened_at,
        ),
    )


def notes_on(page: ModelPage) -> list[str]:
    """What a reader should know about the page itself."""
    grid = page.glance.grid
    shown, live = len(grid.starts), page.glance.live
    out = [behind(page.glance)]
    if shown < page.asked:
        span = times.about(shown * grid.window_s)
        out.append(f"only the last {span} are shown: the range holds more than one page may read")
    summed = summed_until(page.found, grid)
    if summed is not None:
        out.append(
            f"windows before {times.utc(summed)} are kept as sums of hours or days: what they add "
            "up to is exact, each window is an even part of it"
        )
    if live is not None and page.layout and page.baseline is None:
        message = f"the baseline of version {live.champion} was made by another release"
        out.append(f"{message}: features are shown without their pictures until it is trained anew")
    return [line for line in out if line]
