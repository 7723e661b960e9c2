"""A small installation with a story, written through the real store.

``flight-delay``: version 3 was rolled back as a canary; the weather feed broke, so version 1
stands in for version 2; one tenant's requests are refused. ``seat-demand`` is healthy and
rolling out. ``no-show`` was only applied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
from journeys.console_harness import (
    BROKEN,
    DEMAND,
    FLIGHT,
    NO_SHOW,
    NOW,
    TENANTS,
    WINDOW_S,
    WINDOWS,
    at_window,
    baseline_of,
    draw_flights,
    flight_layout,
    sketch_of,
    version_of,
)
from numpy.typing import NDArray

from windvane.adapters.clock import DrivenClock
from windvane.adapters.sql import SqlControlStore
from windvane.core.alerting import CANARY, Cause
from windvane.core.alerting.suspect import PARTIAL_DEPENDENCE
from windvane.core.drift import (
    Cell,
    DriftFacts,
    DriftPolicy,
    Kind,
    Reading,
    StreamState,
    describe_change,
    judge_drift,
)
from windvane.core.explanation import Curve, PartialDependence, Point, Where
from windvane.core.journal import Decision, Effect
from windvane.core.rollout import EVERYONE as ALL_UNITS
from windvane.core.rollout import (
    FAILED,
    ArmCounts,
    ArmLosses,
    FirstEvents,
    GateFacts,
    GatePolicy,
    Stage,
    StageFacts,
    judge_gate,
)
from windvane.core.sketch import TRAFFIC, Layout, NumericAxis, Sketch
from windvane.core.verdict import (
    Bet,
    Outcome,
    RateFacts,
    RatePolicy,
    RateState,
    Verdict,
    judge_rate,
)
from windvane.ports.control_store import Checkpoint, Deployment, Tx, WindowKey, WindowVerdict
from windvane.ports.judging import MonitorState, Progress
from windvane.usecases.actions.deploy import deploy_version
from windvane.usecases.apply_model import apply_model
from windvane.usecases.closed_window import tenant_subject
from windvane.usecases.explain_suspect import explain_suspect
from windvane.usecases.gather_evidence import histogram, sample_requests, tenant_shares
from windvane.usecases.leases import hold_shards
from windvane.usecases.measure_impact import measure_impact, read_counted
from windvane.usecases.measure_partial_dependence import pack_partial_dependence
from windvane.usecases.monitors.cells import EVERYONE, HeldCell
from windvane.usecases.monitors.drift_table import drift_table
from windvane.usecases.monitors.refusals import TENANT
from windvane.usecases.monitors.slo import Slo
from windvane.usecases.monitors.sudden_shift import FEED
from windvane.usecases.open_incident import close_incident, open_incident
from windvane.usecases.publish_routing import routing_effects
from windvane.usecases.read_model_file import ModelFile, read_model_file


@dataclass(frozen=True, slots=True)
class Seeded:
    """Where things lie, and the ids that a journey visits."""

    home: Path
    store: SqlControlStore
    clock: DrivenClock
    feed_incident: str
    tenant_incident: str
    canary_decision: str
    key: str = ""


def settings(home: Path, port: int) -> None:
    """windvane.yaml with a driven clock and a port of its own."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "windvane.yaml").write_text(f"console_port: {port}\nclock: {home / 'clock'}\n")


def open_empty(home: Path) -> tuple[SqlControlStore, DrivenClock]:
    """A migrated store with nothing in it, and a clock at the story's beginning."""
    store = SqlControlStore(f"sqlite:///{home / 'control.db'}")
    store.migrate()
    return store, DrivenClock(home / "clock", NOW - (WINDOWS + 40) * WINDOW_S)


def seed(home: Path, windows: int = WINDOWS, tenants: tuple[str, ...] = TENANTS) -> Seeded:
    """Write the whole story; the caller closes the store."""
    store, clock = open_empty(home)
    rng = np.random.default_rng(7)
    for text in (FLIGHT, DEMAND, NO_SHOW):
        apply_model(store, clock, text)
    flight, demand = read_model_file(FLIGHT), read_model_file(DEMAND)
    ids = _flight(store, clock, rng, flight, windows, tenants)
    _demand(store, clock, rng, demand, windows, tenants[:4])
    clock.move_to(NOW)
    with store.begin() as tx:
        tx.set_checkpoint(Checkpoint("gateway-0", 1, NOW))
        tx.put_progress([Progress(m.name, 0.0, at_window(0), 0.0) for m in tx.models()])
    hold_shards(store, "a-steward", 1e6)
    return Seeded(home, store, clock, *ids)


def _flight(
    store: SqlControlStore,
    clock: DrivenClock,
    rng: np.random.Generator,
    file: ModelFile,
    windows: int,
    tenants: tuple[str, ...],
) -> tuple[str, str, str]:
    layout = flight_layout(rng)
    baseline = baseline_of(rng, layout, lambda r, n: draw_flights(r, n, late=False, broken=False))
    views = {"1": ("flight",), "2": ("weather", "flight"), "3": ("weather", "flight")}
    with store.begin() as tx:
        tx.put_layout(layout)
        for i, (name, needs) in enumerate(views.items()):
            made = at_window(windows + 30 - i * 8)
            tx.add_version(
                replace(
                    version_of(file.model, name, layout, needs, 0.66 + 0.02 * i, made, baseline),
                    partial_dependence=pack_partial_dependence(_answers()),
                )
            )
    clock.move_to(at_window(windows + 2))
    deploy_version(store, clock, file.model, "1")
    clock.move_to(at_window(windows - 4))
    deploy_version(store, clock, file.model, "2")
    for step in range(3):
        _advance(store, clock, file.model, at_window(windows - 8 - step * 3) + 600)
    totals = _windows(store, rng, file, layout, windows, tenants)
    clock.move_to(at_window(26) + 300)
    deploy_version(store, clock, file.model, "3")
    canary = _roll_back(store, clock, file, layout, totals, at_window(22) + 900)
    feed = _break_feed(store, clock, file, layout, totals, rng)
    tenant = _refuse_tenant(store, clock, file)
    return feed, tenant, canary


def _answers() -> PartialDependence:
    """Later as the wind rises; and more so where nobody knows it."""
    speeds = [0.6, 3.9, 5.4, 6.7, 8.0, 9.4, 11.0, 12.6, 15.0, 18.6, 38.2]
    least, most = speeds[0], speeds[-1]

    def point(speed: float, where: Where) -> Point:
        return Point(speed, where, 0.19 + 0.3 / (1.0 + float(np.exp(4.0 - 0.25 * speed))))

    points = (
        *(point(speed, Where.TRAINING) for speed in speeds),
        *(point(most + part * (most - least), Where.OUTSIDE) for part in (0.25, 1.0)),
        Point(None, Where.NULL, 0.341),
    )
    curve = Curve("wind_speed", points, (speeds[3], speeds[5], speeds[7]), 0.021)
    return PartialDependence("late", 200, 7, (curve,))


def _windows(
    store: SqlControlStore,
    rng: np.random.Generator,
    file: ModelFile,
    layout: Layout,
    windows: int,
    tenants: tuple[str, ...],
) -> dict[float, NDArray[np.int64]]:
    """Sketches and verdicts of every window up to the open one."""
    totals: dict[float, NDArray[np.int64]] = {}
    found: dict[WindowKey, Sketch] = {}
    verdicts: list[WindowVerdict] = []
    streams: Mapping[str, StreamState] = {}
    for back in range(windows, -1, -1):
        start = at_window(back)
        broken = back <= BROKEN
        day = 0.45 + 0.55 * np.sin(np.pi * ((start / 3600 - 4) % 24) / 24) ** 2
        totals[start] = np.zeros(layout.size, np.int64)
        for i, tenant in enumerate(tenants):
            n = int(rng.poisson((260 / (1 + 0.35 * i)) * day * (0.15 if back == 0 else 1.0))) + 1
            columns = draw_flights(rng, n, late=back < 45, broken=broken)
            refused = (
                int(n * 0.31) if tenant == "harbor-air" and back <= 5 else int(rng.random() < 0.1)
            )
            errors = int(rng.random() < 0.06)
            version, arm = ("1", "fallback") if back < BROKEN - 1 else ("2", "champion")
            if 22 <= back <= 26 and i % 3 == 0:
                version, arm = "3", "challenger"
                errors = int(n * 0.12)
            key = WindowKey(file.model, start, version, arm, tenant, "recorder-0")
            found[key] = sketch_of(
                rng, layout, columns, n, execution_errors=errors, fell_back=errors
            )
            totals[start] = totals[start] + found[key].features
            if refused:
                nothing = Sketch.empty(layout.id, layout.size)
                nothing.traffic[TRAFFIC.index("refused")] = refused
                found[replace(key, version="", arm="")] = nothing
            if back:
                verdicts.append(_tenant_verdict(file.model, start, tenant, refused, n))
        if back:
            own, streams = _own_verdicts(file, start, totals[start], layout, broken, streams)
            verdicts += own
        if back % 56 == 8:
            verdicts += _weekly(file, start)
    with store.begin() as tx:
        tx.add_sketches(found)
        tx.add_verdicts(verdicts)
    _promise(store, file, found)
    _watch_tenants(store, file, layout, tenants)
    return totals


def _watch_tenants(
    store: SqlControlStore, file: ModelFile, layout: Layout, tenants: tuple[str, ...]
) -> None:
    """What is carried of each tenant: one alarm, some evidence, and tenants with none."""
    start = at_window(1)
    held: list[MonitorState] = []
    for i, tenant in enumerate(tenants):
        streams = {
            f"{spec.name}/values": StreamState(1.3 * ((i * 3 + j) % 9), start, start, 0.0)
            for j, spec in enumerate(file.schema)
            if i % 3 == 0 and (i * 3 + j) % 9
        }
        if i == 4:
            streams["carrier/values"] = StreamState(
                14.0, start, start, 14.0, alarmed=True, size=0.34
            )
        cell = replace(Cell.empty(layout, start), streams=streams)
        one = HeldCell.of(tenant_subject(tenant), layout, cell, start)
        state = one.row(0.0)
        body = msgspec.to_builtins(state)
        held.append(
            MonitorState(file.model, "sudden_shift", one.subject, start, state.alarmed, body)
        )
    with store.begin() as tx:
        tx.put_monitor_states(held)


def _promise(store: SqlControlStore, file: ModelFile, found: Mapping[WindowKey, Sketch]) -> None:
    """What the monitor of the file's objectives carries of these windows, and last said."""
    monitor, rows = Slo(), dict[str, Mapping[str, Any]]()
    starts = sorted({key.start for key in found})[:-1]  # the last one is open
    policy = SimpleNamespace(window_s=WINDOW_S, alarm_at=1e6)
    for start in starts:
        held = tuple((key, sketch) for key, sketch in found.items() if key.start == start)
        window: Any = SimpleNamespace(
            file=file, policy=policy, start=start, end=start + WINDOW_S, sketches=held
        )
        log: Any = None
        looks = monitor.look(window, rows, log)
        rows = {name: msgspec.to_builtins(s) for one in looks for name, s in one.states.items()}
        with store.begin() as tx:
            tx.add_verdicts(
                [
                    WindowVerdict(
                        file.model, start, monitor.name, one.subject, one.verdict.outcome,
                        one.verdict.code, one.verdict.sentence, one.detail,
                    )
                    for one in looks if start == starts[-1]
                ]
            )  # fmt: skip
            tx.put_monitor_states(
                [MonitorState(file.model, monitor.name, name, start, False, b)
                 for name, b in rows.items()]
            )  # fmt: skip


def _tenant_verdict(model: str, start: float, tenant: str, bad: int, n: int) -> WindowVerdict:
    bets = (Bet(9e5, 9e5, start),) * 7 if bad > n / 10 else RateState().bets
    facts = RateFacts(f"tenant {tenant}", start, bad, n, RateState(bets, start))
    verdict, _ = judge_rate(facts, RatePolicy(0.02, 1e6, "CON", "refused"), start + WINDOW_S)
    return WindowVerdict(
        model, start, "refusals", tenant, verdict.outcome, verdict.code, verdict.sentence, {}
    )


def _readings(file: ModelFile, broken: bool) -> tuple[Reading, ...]:
    rises = {"temp": 0.96, "wind_speed": 0.97, "visibility": 0.9, "precip": 0.49} if broken else {}
    out: list[Reading] = []
    for spec in file.schema:
        rise = rises.get(spec.name, 0.001)
        out.append(Reading(spec.name, spec.view, Kind.VALUES, 0.1, 0.03))
        out.append(Reading(spec.name, spec.view, Kind.NULLS, 25.0 if broken else -0.4, rise))
    return tuple(out)


def _drift(file: ModelFile, start: float, rows: int, broken: bool) -> tuple[DriftFacts, Verdict]:
    facts = DriftFacts(start, rows, 50, _readings(file, broken), {})
    policy = DriftPolicy(1e5)
    verdict, _, _ = judge_drift(facts, policy, start + WINDOW_S)
    return facts, verdict


def _own_verdicts(
    file: ModelFile,
    start: float,
    total: NDArray[np.int64],
    layout: Layout,
    broken: bool,
    streams: Mapping[str, StreamState],
) -> tuple[list[WindowVerdict], Mapping[str, StreamState]]:
    rows = int(layout.part(total, layout.names[0]).sum())
    facts, verdict = _drift(file, start, rows, broken)
    luck = np.random.default_rng(int(start)).normal(-0.6, 1.2, len(facts.readings)).tolist()
    carried = replace(
        facts,
        states=streams,
        readings=tuple(
            r
            if broken and r.kind is Kind.NULLS
            else replace(r, log_e=e, usual=0.5 if r.feature == "carrier" else 0.02)
            for r, e in zip(facts.readings, luck, strict=True)
        ),
    )
    policy = DriftPolicy(1e5)
    _, after, alarms = judge_drift(carried, policy, start + WINDOW_S)
    detail = drift_table(carried, alarms, policy, after)
    errors = RateFacts("errors", start, 1, rows, RateState())
    fine, _ = judge_rate(errors, RatePolicy(0.01, 1e6, "SLO", "failed"), start + WINDOW_S)
    return [
        WindowVerdict(file.model, start, "sudden_shift", "", verdict.outcome, verdict.code,
                      verdict.sentence, detail),
        WindowVerdict(file.model, start, "errors", "", fine.outcome, fine.code, fine.sentence, {}),
    ], after  # fmt: skip


def _weekly(file: ModelFile, start: float) -> list[WindowVerdict]:
    sizes = {"temp": 0.31, "wind_speed": 0.06, "visibility": 0.04, "precip": 0.03,
             "distance": 0.01, "hour": 0.02, "carrier": 0.08}  # fmt: skip
    readings = [
        {"feature": s.name, "view": s.view, "kind": "drift", "e": 9.0, "size": sizes[s.name],
         "changed": None}
        for s in file.schema
    ]  # fmt: skip
    message = "temp drift moved 0.31 >= 0.20 with evidence 2.1e+05 >= 9.4e+03, 1 of 7 streams"
    auc = "AUC 0.671 (at least 0.652) >= 0.62, n=41,201"
    return [
        WindowVerdict(file.model, start, "training_drift", "", Outcome.FAIL, "DRI-201", message,
                      {"rows": 90_000, "readings": readings}),
        WindowVerdict(file.model, start, "outcomes", "", Outcome.PASS, "OUT-200", auc,
                      {"auc": 0.671, "scored": 41_201, "metric": "auc", "lower": 0.652,
                       "upper": 0.69, "floor": 0.62, "ended": start + WINDOW_S}),
        WindowVerdict(file.model, start, "labels", "", Outcome.PASS, "ABS-210",
                      "94.1% of 41,201 predictions have a label after 5 h, usually 94.0%",
                      {"block": start - 86_400.0, "age": 17_783.0, "coverage": 0.96,
                       "curve": [[10.0 ** (k / 4), round(0.96 / (1 + 10.0 ** (2.6 - k / 4)), 4)]
                                 for k in range(22)], "missing": ""}),
    ]  # fmt: skip


_STEPS = (0.05, 0.25, 0.5)


def _stage(share: float, started: float, units: int, failed: int) -> StageFacts:
    """Of the champion's units 2 in 500 fail."""
    others = 4 * units
    first = FirstEvents(failed, round(units * (1.0 - share) / share / 250))
    return StageFacts(
        Stage(share, started, 150_000.0, 0.2), ArmCounts(units, failed, units // 500),
        ArmCounts(others, others // 250, others // 500), {FAILED: {ALL_UNITS: first}},
    )  # fmt: skip


def _losses(units: int, mean: float) -> ArmLosses:
    return ArmLosses(units, mean * units, 0.05 * units, 0.25 * units)


def _advance(store: SqlControlStore, clock: DrivenClock, model: str, at: float) -> None:
    clock.move_to(at)
    with store.begin() as tx:
        live = tx.deployment(model)
        assert live is not None
        if not live.challenger:
            return
        stages = tuple(
            _stage(share, live.rollout_started + 3_600.0 * step, 4_880, 17)
            for step, share in enumerate(_STEPS[: live.step + 1])
        )
        after = (*_STEPS, 1.0)[live.step + 1]
        units = 40_000 * len(stages)
        facts = GateFacts(
            stages, after, len(TENANTS), _losses(units, 0.146), _losses(4 * units, 0.15)
        )
        verdict = judge_gate(facts, GatePolicy(), at)
        assert verdict.outcome is Outcome.PASS
        if after < 1.0:
            action = "advance"
            fresh = replace(live, share=after, step=live.step + 1, stage_started=at, changed_at=at)
        else:
            action = "promote"
            fresh = replace(
                live, champion=live.challenger, previous=live.champion, challenger=None,
                share=0.0, step=0, rollout="", changed_at=at,
            )  # fmt: skip
        tx.put_deployment(fresh)
        _decide(tx, model, f"{live.rollout}/step-{live.step}", f"version {live.challenger}", action,
                at, verdict, (*routing_effects(tx),), msgspec.to_builtins(facts),
                msgspec.to_builtins(GatePolicy()))  # fmt: skip


def _decide(
    tx: Tx, model: str, name: str, subject: str, action: str, at: float, verdict: Verdict,
    effects: tuple[Effect, ...] = (), facts: Mapping[str, Any] | None = None,
    policy: Mapping[str, Any] | None = None, judge: str = "rollout.gate",
) -> None:  # fmt: skip
    tx.decide(
        Decision(name, model, judge, subject, action, at, policy or {}, facts or {}, verdict,
                 effects)
    )  # fmt: skip


def _roll_back(
    store: SqlControlStore,
    clock: DrivenClock,
    file: ModelFile,
    layout: Layout,
    totals: Mapping[float, NDArray[np.int64]],
    at: float,
) -> str:
    clock.move_to(at)
    with store.begin() as tx:
        live = tx.deployment(file.model)
        assert live is not None
        name = f"{live.rollout}/step-{live.step}"
        stage = _stage(live.share, live.stage_started, 412, 51)
        facts = GateFacts((stage,), _STEPS[1], len(TENANTS))
        verdict = judge_gate(facts, GatePolicy(), at)
        assert (verdict.outcome, verdict.code) == (Outcome.FAIL, "ROL-301")
        fresh = replace(live, challenger=None, share=0.0, rollout="", changed_at=at)
        tx.put_deployment(fresh)
        after = totals[at_window(24)]
        shapes = [histogram(layout, "output", totals[at_window(30)], np.roll(after, 2))]
        told = open_incident(
            tx, file, Cause(CANARY, "version 3"),
            title=f"version 3 was rolled back: {verdict.sentence}", now=at,
            since=live.rollout_started,
            evidence={"histograms": shapes, "samples": _samples(5, at, broken=False)},
            decision=name, done=["rolled back to version 2; the canary had 5%"],
        )  # fmt: skip
        _decide(tx, file.model, name, "version 3", "rollback", at, verdict,
                (*routing_effects(tx), *told), msgspec.to_builtins(facts),
                msgspec.to_builtins(GatePolicy()))  # fmt: skip
    return name


def _samples(n: int, at: float, *, broken: bool) -> list[dict[str, Any]]:
    rows = [
        {
            "ts": at + 61.5 * i, "tenant": TENANTS[(i * 4 + 3) % len(TENANTS)],
            "request_id": f"0194c1e2-7f{i}a-7c3e-9f1b-2b5d9c0e4a1{i}", "row": 0,
            "unit": f"p-{90311 + i * 77}", "routed": "2" if broken else "3", "answered": "2",
            "arm": "champion" if broken else "challenger", "rollout": "",
            "outputs": {"probability": 0.21 + 0.06 * i},
            "latency_us": 2900 + 410 * i, "flags": [] if broken else ["failed"],
            "features": {
                "temp": None if broken else 48.02, "wind_speed": None if broken else 11.5,
                "visibility": None if broken else 10.0, "precip": None if broken else 0.0,
                "distance": 733.0 + 120 * i, "hour": 7.0 + i, "carrier": ["UA", "B6", "EV"][i % 3],
            },
        }
        for i in range(n)
    ]  # fmt: skip
    return sample_requests(rows)


def _break_feed(
    store: SqlControlStore,
    clock: DrivenClock,
    file: ModelFile,
    layout: Layout,
    totals: Mapping[float, NDArray[np.int64]],
    rng: np.random.Generator,
) -> str:
    start = at_window(BROKEN)
    now = start + WINDOW_S + 30.0
    clock.move_to(now)
    before = np.sum([c for s, c in totals.items() if s < start], axis=0)
    after = totals[start]
    facts, verdict = _drift(file, start, int(layout.part(after, "temp").sum()), broken=True)
    cause = Cause(FEED, "weather")
    name = f"{file.model}/{cause.key}/{start:.0f}/broken"
    mine = [
        (t, layout.count(draw_flights(rng, 60 + 10 * i, late=True, broken=True))[0])
        for i, t in enumerate(TENANTS)
    ]
    sizes = [("wind_speed", 0.97), ("temp", 0.96), ("visibility", 0.9), ("precip", 0.49)]
    evidence = {
        "view": "weather",
        "suspects": [{"feature": f, "size": size} for f, size in sizes],
        "kinds": ["nulls"],
        "first_window": start,
        "tenants": tenant_shares(layout, "wind_speed", mine),
        "histograms": [histogram(layout, f, before, after) for f, _ in sizes],
        "samples": _samples(5, start, broken=True),
        "last_good": {"version": "2", "before": start},
        "earliest": start - 2 * WINDOW_S,
        "changes": [describe_change(layout, f, before, after) for f, _ in sizes],
    }
    with store.begin() as tx:
        live = tx.deployment(file.model)
        assert live is not None
        counted = read_counted(tx, file, start, now)
        impact = measure_impact(tx, file, counted, cause, start, now, evidence)
        answers = explain_suspect(tx, file, counted, "2", cause, start, now, evidence)
        evidence = {**evidence, "impact": impact, PARTIAL_DEPENDENCE: answers}
        tx.put_deployment(replace(live, standing_in="1", broken_views=("weather",), changed_at=now))
        told = open_incident(
            tx, file, cause, now=now, since=start, evidence=evidence, decision=name,
            title="the weather feed changed: wind_speed nulls rose by 97%, temp nulls rose by "
            "96%, visibility nulls rose by 90%, precip nulls rose by 49%",
            done=["version 1, which does not need weather, stands in for version 2"],
        )  # fmt: skip
        policy = DriftPolicy(1e5)
        _decide(tx, file.model, name, "source weather", "fall_back", now, verdict,
                (*routing_effects(tx), *told), msgspec.to_builtins(facts),
                msgspec.to_builtins(policy), "drift")  # fmt: skip
        sounding = {
            f"{f}/nulls": StreamState(20.0, start, start, 20.0, alarmed=True, size=size)
            for f, size in sizes
        }
        cell = replace(Cell.empty(layout, start), streams=sounding)
        everyone = HeldCell.of(EVERYONE, layout, cell, start)
        state = replace(everyone, told={"weather": FEED.name}).row(0.0)
        body = msgspec.to_builtins(state)
        held = MonitorState(file.model, "sudden_shift", EVERYONE, start, state.alarmed, body)
        tx.put_monitor_states([held])
        held = tx.open_incident(file.model, cause.key)
        assert held is not None
        return held.id


def _refuse_tenant(store: SqlControlStore, clock: DrivenClock, file: ModelFile) -> str:
    start = at_window(5)
    now = start + WINDOW_S + 20.0
    clock.move_to(now)
    cause = Cause(TENANT, "harbor-air")
    name = f"{file.model}/{cause.key}/{start:.0f}/began"
    facts = RateFacts(
        "tenant harbor-air", start, 31, 76, RateState((Bet(9e5, 9e5, start),) * 7, start)
    )
    policy = RatePolicy(0.02, 1e6, "CON", "refused")
    verdict, _ = judge_rate(facts, policy, now)
    samples = [
        {"ts": start + 40 * i, "tenant": "harbor-air", "request_id": f"req-{i}", "code": "CON-104",
         "message": "carrier: expected a name, got a number",
         "sample": '{"instances":[{"features":{"carrier":<script>alert(1)</script>, "hour": 9}}]}'}
        for i in range(3)
    ]  # fmt: skip
    with store.begin() as tx:
        told = open_incident(
            tx, file, cause, title=verdict.sentence, now=now, since=start, decision=name, done=[],
            evidence={"tenants": [{"tenant": "harbor-air"}], "first_window": start,
                      "samples": samples},
        )  # fmt: skip
        _decide(tx, file.model, name, "tenant harbor-air", "notify", now, verdict, told,
                msgspec.to_builtins(facts), msgspec.to_builtins(policy), "rate")  # fmt: skip
        held = tx.open_incident(file.model, cause.key)
        assert held is not None
        return held.id


def heal_feed(given: Seeded) -> None:
    """What the steward writes when the weather is back: the page should follow by itself."""
    file = read_model_file(FLIGHT)
    cause = Cause(FEED, "weather")
    now = given.clock.now()
    name = f"{file.model}/{cause.key}/{now:.0f}/healed"
    with given.store.begin() as tx:
        live = tx.deployment(file.model)
        assert live is not None
        tx.put_deployment(replace(live, standing_in=None, broken_views=(), changed_at=now))
        lines = ["weather is healthy again", "version 2 answers again"]
        close_incident(tx, file.model, cause, now=now, decision=name, lines=lines)
        _decide(tx, file.model, name, "source weather", "revert", now,
                Verdict(Outcome.PASS, "DRI-200", "weather is healthy again"),
                routing_effects(tx), judge="")  # fmt: skip


def _demand(
    store: SqlControlStore,
    clock: DrivenClock,
    rng: np.random.Generator,
    file: ModelFile,
    windows: int,
    tenants: tuple[str, ...],
) -> None:
    def draw(r: np.random.Generator, n: int) -> dict[str, Any]:
        return {
            "lead_days": r.integers(0, 60, n).astype(float),
            "fare": r.lognormal(5.2, 0.5, n),
            "output": r.beta(3, 3, n),
        }

    sample = draw(rng, 4_000)
    layout = Layout(tuple(NumericAxis.fit(n, v, bins=16) for n, v in sample.items()))
    baseline = baseline_of(rng, layout, draw)
    with store.begin() as tx:
        tx.put_layout(layout)
        for i, name in enumerate(("7", "8")):
            made = at_window(windows - i * 20)
            tx.add_version(version_of(file.model, name, layout, ("booking",), 0.71, made, baseline))
        tx.put_deployment(Deployment(file.model, "7", changed_at=at_window(windows)))
        found: dict[WindowKey, Sketch] = {}
        verdicts: list[WindowVerdict] = []
        for back in range(windows, -1, -1):
            start = at_window(back)
            for tenant in tenants:
                n = int(rng.poisson(40)) + 1
                key = WindowKey(file.model, start, "7", "champion", tenant, "recorder-0")
                found[key] = sketch_of(rng, layout, draw(rng, n), n)
            if back:
                message = "largest evidence 2.31 (fare/values) < 1.2e+05, n=163"
                verdicts.append(
                    WindowVerdict(
                        file.model, start, "sudden_shift", "", Outcome.PASS, "DRI-200", message, {}
                    )
                )
        tx.add_sketches(found)
        tx.add_verdicts(verdicts)
    clock.move_to(at_window(2))
    deploy_version(store, clock, file.model, "8")
