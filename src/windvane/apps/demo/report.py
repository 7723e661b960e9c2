"""What came of the demo: the timeline, and whether every promise was kept."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from windvane.apps.demo import plan
from windvane.apps.demo.replay import ClientCounts, Moment
from windvane.core.routing import bucket, salt_of, unit_of
from windvane.ports.control_store import ControlStore, Incident, IncidentNote
from windvane.ports.event_log import EventLog
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.replay_decision import JUDGES, replay_decision

GOOD, NO_WEATHER, BAD = "1", "2", "3"


@dataclass(frozen=True, slots=True)
class Check:
    """One promise: its name, whether it was kept, and both sides."""

    name: str
    kept: bool
    message: str


@dataclass(frozen=True, slots=True)
class FaultLine:
    """One fault's row of the timeline; minutes are simulated."""

    fault: str
    began: float
    noticed_after_min: float | None
    noticed_after_requests: int | None
    answered_after_min: float | None
    answered_after_requests: int | None
    met_the_fault: int
    answer: str


@dataclass(frozen=True, slots=True)
class Report:
    faults: tuple[FaultLine, ...]
    checks: tuple[Check, ...]
    acknowledged: int
    logged: int
    false_alarms: int
    seconds: float
    requests_per_second: float

    @property
    def ok(self) -> bool:
        return all(check.kept for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        return {"ok": self.ok, **asdict(self)}


def make_report(
    store: ControlStore,
    log: EventLog,
    model: str,
    seen: ClientCounts,
    moments: Sequence[Moment],
    seconds: float,
) -> Report:
    """Read what the system recorded and hold it against what was done to it."""
    with store.read() as tx:
        incidents = sorted(tx.incidents(model, 1_000), key=lambda i: i.opened_at)
        notes = {i.id: tx.notes(i.id) for i in incidents}
        contract = read_model_file(tx.model(model).text).contract
        decisions = tx.decisions(model, 10_000)
        errors = tx.verdicts(model, "errors", 0.0, 100_000)
        sketches = tx.sketches(model, 0.0, float("inf"))
    counted = log.counts(model)
    by_kind = {
        kind: [i for i in incidents if i.kind == kind] for kind in ("feed", "canary", "tenant")
    }
    feed = next((i for i in by_kind["feed"] if i.cause == "feed:weather"), None)
    canary = next((i for i in by_kind["canary"]), None)
    tenant = next(
        (i for i in by_kind["tenant"] if i.cause == f"tenant:{plan.GARBAGE_TENANT}"), None
    )
    expected = {i.id for i in (feed, canary, tenant) if i is not None}
    # The summer is no fault: of a critical model it is told in office hours.
    false_alarms = [i for i in incidents if i.id not in expected and i.kind != "training_drift"]
    in_windows = sum(s.total("rows") for _, s in sketches)
    bad_rows = log.samples(model, contract, 0.0, 4e9, {"routed": BAD}, 1_000_000)
    beyond = sum(
        bucket(salt_of(row["rollout"]), unit_of(row["tenant"], row["unit"])) >= 0.05
        for row in bad_rows
    )
    judged = [d for d in decisions if d.judge in JUDGES]
    changed = [d.id for d in judged if not replay_decision(d).same]
    lines = _feed_lines(feed, notes, moments)
    lines += [_canary_line(canary, moments), _tenant_line(tenant, moments, seen)]
    quiet = [i for i in incidents if i.opened_at <= plan.QUIET_UNTIL]
    suspects = {s["feature"] for s in feed.evidence["suspects"]} if feed else set[str]()
    kinds = _notified_kinds(feed, notes)
    after_garbage = seen.refused_tenants.keys() - {plan.GARBAGE_TENANT}
    garbage = sum(1 for m in moments if m.fault == "refused")
    checks = (
        Check("quiet weeks", not quiet, f"{len(quiet)} incidents in the first two weeks, 0 wanted"),
        Check(
            "weather feed noticed and named",
            bool(suspects & set(plan.WEATHER)) and kinds == {"nulls", "values"},
            f"kinds {sorted(kinds)}, suspects {sorted(suspects)}, "
            f"since {clock_text(feed.since if feed else None)}",
        ),
        Check(
            "weather feed answered",
            any(m.version == NO_WEATHER for m in moments),
            f"{sum(m.version == NO_WEATHER for m in moments):,} requests answered without weather",
        ),
        Check(
            "weather feed reverted",
            feed is not None and feed.closed_at is not None
            and feed.closed_at > plan.HEALTHY_FROM and moments[-1].version == GOOD,
            f"closed {clock_text(feed.closed_at if feed else None)}, "
            f"healthy from {clock_text(plan.HEALTHY_FROM)}",
        ),
        Check(
            "canary rolled back by its gate",
            canary is not None and any(d.action == "rollback" for d in decisions),
            canary.title if canary else "no canary incident",
        ),
        Check(
            "nobody beyond the canary met it",
            bool(bad_rows) and beyond == 0,
            f"{beyond} of {len(bad_rows)} rows beyond the 5% of units",
        ),
        Check(
            "garbage refused with clear codes",
            garbage > 0 and seen.slipped == 0
            and set(seen.refusal_codes) == {"CON-102", "CON-103", "CON-104"},
            f"{garbage:,} refused {dict(sorted(seen.refusal_codes.items()))}, "
            f"{seen.slipped} answered",
        ),
        Check(
            "garbage has its own incident",
            tenant is not None and not after_garbage,
            f"{tenant.title if tenant else 'none'}; other tenants refused: "
            f"{sorted(after_garbage) or 'none'}",
        ),
        Check(
            "model's health untouched",
            not any(v.outcome == "fail" for v in errors) and seen.failed == 0,
            f"{sum(v.outcome == 'fail' for v in errors)} failed windows, "
            f"{seen.failed} requests without an answer",
        ),
        Check(
            "acknowledged = logged = counted in windows",
            seen.acknowledged == counted["predictions"] == in_windows,
            f"{seen.acknowledged:,} = {counted['predictions']:,} = {in_windows:,}",
        ),
        Check(
            "outcomes = logged",
            seen.outcomes == counted["outcomes"],
            f"{seen.outcomes:,} = {counted['outcomes']:,}",
        ),
        Check("false alarms", not false_alarms, ", ".join(i.id for i in false_alarms) or "0"),
        Check(
            "decisions replay to the same verdict",
            bool(judged) and not changed,
            f"{len(judged) - len(changed)} of {len(judged)} judged decisions",
        ),
    )  # fmt: skip
    return Report(
        tuple(lines),
        checks,
        seen.acknowledged,
        counted["predictions"],
        len(false_alarms),
        round(seconds, 1),
        round((seen.acknowledged + seen.refused) / max(seconds, 0.001), 1),
    )


def show_report(report: Report, console: Console) -> None:
    table = Table(title="What broke, and how long it took", title_justify="left")
    for column in ("fault", "began", "noticed after", "answered after", "met it", "answer"):
        table.add_column(column, overflow="fold")
    for f in report.faults:
        table.add_row(
            f.fault,
            clock_text(f.began),
            _after(f.noticed_after_min, f.noticed_after_requests),
            _after(f.answered_after_min, f.answered_after_requests),
            f"{f.met_the_fault:,}",
            f.answer,
        )
    console.print(table)
    for check in report.checks:
        mark = "[green]kept  [/]" if check.kept else "[bold red]BROKEN[/]"
        console.print(f"{mark} {check.name}: {check.message}", highlight=False)
    console.print(
        f"{report.acknowledged:,} predictions acknowledged, {report.logged:,} in the log, "
        f"{report.false_alarms} false alarms, {report.seconds:.0f} s of replay at "
        f"{report.requests_per_second:,.0f} requests/s"
    )


def _feed_lines(
    feed: Incident | None, notes: dict[str, list[IncidentNote]], moments: Sequence[Moment]
) -> list[FaultLine]:
    timeline = notes.get(feed.id, []) if feed else []
    lines: list[FaultLine] = []
    for fault, began, word in (
        ("weather: nulls at EWR and LGA", plan.NULLS_FROM, "nulls"),
        ("weather: Celsius for Fahrenheit", plan.CELSIUS_FROM, "values"),
    ):
        noticed = next((n.at for n in timeline if n.at >= began and word in n.what), None)
        kind = "nulls" if word == "nulls" else "celsius"
        stood_in = next(
            (m.asked_at for m in moments if m.asked_at >= began and m.version == NO_WEATHER), None
        )
        met = sum(m.fault == kind and m.version == GOOD for m in moments)
        stood = "stood in" if met else "was standing in already,"
        until = clock_text(feed.closed_at if feed else None)
        answer = f"version {NO_WEATHER} {stood} until {until}"
        lines.append(_line(fault, began, noticed, stood_in, moments, met, answer))
    return lines


def _canary_line(canary: Incident | None, moments: Sequence[Moment]) -> FaultLine:
    met = [m.asked_at for m in moments if m.routed_bad]
    opened = canary.opened_at if canary else None
    return _line(
        f"version {BAD}, trained on a broken join",
        plan.BAD_DEPLOY_AT,
        opened,
        opened,
        moments,
        len(met),
        canary.title if canary else "",
    )


def _tenant_line(
    tenant: Incident | None, moments: Sequence[Moment], seen: ClientCounts
) -> FaultLine:
    first = next((m.asked_at for m in moments if m.fault == "refused"), None)
    return _line(
        f"tenant {plan.GARBAGE_TENANT} sends garbage",
        plan.GARBAGE_FROM,
        tenant.opened_at if tenant else None,
        first,
        moments,
        seen.refused,
        "refused with 4xx at once; an incident of its own",
    )


def _line(
    fault: str,
    began: float,
    noticed: float | None,
    answered: float | None,
    moments: Sequence[Moment],
    met: int,
    answer: str,
) -> FaultLine:
    def requests(until: float | None) -> int | None:
        if until is None:
            return None
        return sum(began <= m.asked_at < until for m in moments)

    def minutes(until: float | None) -> float | None:
        return None if until is None else round((until - began) / 60.0, 1)

    return FaultLine(
        fault,
        began,
        minutes(noticed),
        requests(noticed),
        minutes(answered),
        requests(answered),
        met,
        answer,
    )


def _notified_kinds(feed: Incident | None, notes: dict[str, list[IncidentNote]]) -> set[str]:
    text = " ".join(n.what for n in notes.get(feed.id, [])) if feed else ""
    return {kind for kind in ("nulls", "values") if f"{kind} " in text}


def clock_text(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%d %b %H:%M")


def _after(minutes: float | None, requests: int | None) -> str:
    return "never" if minutes is None else f"{minutes:,.0f} min, {requests:,} requests"
