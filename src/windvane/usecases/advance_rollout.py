"""Judge the running rollout; move it on, promote it, or roll it back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from windvane.core.alerting import CANARY, Cause
from windvane.core.journal import Decision, Effect
from windvane.core.rollout import (
    ArmLosses,
    GateFacts,
    GuardVerdict,
    conclude,
    judge_guards,
)
from windvane.core.routing import Arm
from windvane.core.task import Contract, make_task
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, Deployment, Tx, WindowVerdict
from windvane.ports.event_log import EventLog, ScoredRows
from windvane.ports.rollouts import LeftOut
from windvane.usecases.change_deployment import change_deployment
from windvane.usecases.gather_evidence import output_histograms, sample_requests
from windvane.usecases.leases import Shards
from windvane.usecases.monitors.freshness import STALE
from windvane.usecases.monitors.whose_shift import FEED, TENANT_FEED
from windvane.usecases.open_incident import open_incident
from windvane.usecases.read_model_file import (
    ModelFile,
    parse_duration,
    read_model_file,
)
from windvane.usecases.record_rollout import next_share, record_of
from windvane.usecases.roll_out import at_share, promoted, without_challenger
from windvane.usecases.rollout_policy import gate_policy

Floats: TypeAlias = NDArray[Any]
_BROKEN = frozenset({FEED.name, STALE.name, TENANT_FEED.name})
_INCIDENTS = 200
_MOST_TIMES = 20.0  # of the champion's median loss: one outcome is not to outweigh all others
_ALONE = np.uint64(2**64 - 1)  # down from here: rows whose unit is not known
JUDGE = "rollout.gate"
ROLLOUT = "rollout"  # as the monitor of its verdicts
_ENDS = {"promote": "promoted", "rollback": "rolled back"}


def advance_rollout(
    store: ControlStore,
    log: EventLog,
    clock: Clock,
    model: str,
    shards: Shards,
    scored: Sequence[ArmScores],
) -> Verdict | None:
    """The gate's verdict, or None where nothing is rolling out.

    ``scored`` are the log's counted losses since the rollout began; they change slowly, so
    the caller decides how often to read them again.
    """
    now = clock.now()
    with store.read() as tx:
        live = tx.deployment(model)
        if live is None or not live.challenger:
            return None
        file = read_model_file(tx.model(model).text)
        facts = gate_facts(tx, file, live, scored)
    policy = gate_policy(file)
    guards = judge_guards(facts, policy, now)
    verdict = conclude(guards, facts, policy, now)
    if verdict.outcome in (Outcome.HOLD, Outcome.ERROR):
        _remember(store, live, file, verdict, guards, now, shards)
        return verdict
    evidence: dict[str, Any] = {}
    if verdict.failed:
        evidence = _evidence(store, log, file.contract, live, now)
    with store.begin([model]) as tx:
        shards.require(tx, [model])
        if tx.deployment(model) != live:
            return None
        action, fresh, effects = _act(tx, file, live, verdict, now, evidence)
        published = change_deployment(tx, live, fresh, rollout_ends=_ENDS.get(action, ""))
        tx.decide(
            Decision(
                id=_decision_id(live),
                model=model,
                judge=JUDGE,
                subject=f"version {live.challenger}",
                action=action,
                at=now,
                policy=msgspec.to_builtins(policy),
                facts=msgspec.to_builtins(facts),
                verdict=verdict,
                effects=(*published, *effects),
            )
        )
    return verdict


def gate_facts(tx: Tx, file: ModelFile, live: Deployment, scored: Sequence[ArmScores]) -> GateFacts:
    """What the gate judges, from what happened to units and from their losses."""
    stages = record_of(tx, file, live).stages
    mine = [one for one in scored if one.rollout == live.rollout]
    challenger, champion = compared_losses(mine)
    return GateFacts(
        tx.stage_facts(live.rollout, stages, left_out(tx, live, stages[0].started)),
        next_share=next_share(file, live),
        slices=tx.slices_of(live.rollout),
        challenger=challenger,
        champion=champion,
        most_loss=max((one.most for one in scored), default=1.0),
        broken=live.broken_views,
        paused=live.paused,
    )


def left_out(tx: Tx, live: Deployment, since: float) -> list[LeftOut]:
    """When sources were broken, of everyone or of a tenant. While one is of everyone, nothing moves
    on, and what both arms do meanwhile may still take a version back."""
    known = {
        i.id: i for i in (*tx.incidents(live.model, _INCIDENTS), *tx.open_incidents(live.model))
    }
    out: list[LeftOut] = []
    for one in sorted(known.values(), key=lambda i: i.id):
        if one.kind not in _BROKEN or (one.closed_at is not None and one.closed_at < since):
            continue
        tenant = one.cause.partition(":")[2] if one.kind == TENANT_FEED.name else ""
        if one.closed_at is None and not tenant and live.broken_views:
            continue
        until = math.inf if one.closed_at is None else one.closed_at
        out.append(LeftOut(one.since, until, tenant))
    return out


@dataclass(frozen=True, slots=True)
class ArmScores:
    """Losses of an arm in one step of a rollout, by its units; ``most`` is what none exceeds."""

    arm: str
    rollout: str
    step: int
    losses: ArmLosses
    most: float


def compared_losses(scored: Sequence[ArmScores]) -> tuple[ArmLosses, ArmLosses]:
    """The challenger's and the champion's, each unit held against those of its own stage: what
    changes in time, such as how often the truth is one, differs between stages. The champion's mean
    is weighed as the challenger's units are over the stages, and is of as many units as that
    leaves; both spread about the mean of their stage. Source: Cochran, *Sampling Techniques*,
    1977, chapter 5."""
    by = {(one.step, one.arm): one.losses for one in scored if one.losses.units}
    steps = [s for s, arm in by if arm == Arm.CHALLENGER and (s, Arm.CHAMPION) in by]
    if not steps:
        total = {arm: sum(n.units for (_, a), n in by.items() if a == arm) for arm in Arm}
        return ArmLosses(total[Arm.CHALLENGER]), ArmLosses(total[Arm.CHAMPION])
    units = sum(by[s, Arm.CHALLENGER].units for s in steps)
    mean = {Arm.CHALLENGER: 0.0, Arm.CHAMPION: 0.0}
    within = {Arm.CHALLENGER: 0.0, Arm.CHAMPION: 0.0}
    naive = weights = 0.0
    for step in steps:
        share = by[step, Arm.CHALLENGER].units / units
        others = by[step, Arm.CHAMPION]
        weights += share * share / others.units
        naive += share * others.naive / others.units
        for arm in mean:
            one = by[step, arm]
            own = one.loss / one.units
            mean[arm] += share * own
            within[arm] += share * max(one.loss_squares / one.units - own * own, 0.0)
    made = {
        arm: ArmLosses(n, mean[arm] * n, (within[arm] + mean[arm] ** 2) * n, naive * n)
        for arm, n in ((Arm.CHALLENGER, units), (Arm.CHAMPION, max(1, round(1.0 / weights))))
    }
    return made[Arm.CHALLENGER], made[Arm.CHAMPION]


def count_losses(
    log: EventLog,
    contract: Contract,
    model: str,
    start: float,
    end: float,
    without: Sequence[LeftOut] = (),
) -> list[ArmScores]:
    """What answers cost, by arm, rollout and step, one mean loss for each unit: rows of one unit
    depend on each other. A loss that has a unit is a share of what the champion's usually is, and
    bounded. Rows of spans that are ``without`` evidence are left out."""
    task = make_task(contract.task)
    found = [
        (one, task.losses(one.outputs, one.labels), task.constant_losses(one.labels))
        for one in (_without(rows, without) for rows in log.scored(model, contract, start, end))
        if one.arm in (Arm.CHAMPION, Arm.CHALLENGER) and one.rollout and len(one.labels)
    ]
    scale, most = 1.0, task.loss_bounds[1]
    if task.loss_is_relative:
        champion = [losses for one, losses, _ in found if one.arm == Arm.CHAMPION]
        together = np.concatenate(champion) if champion else np.zeros(0)
        scale, most = _usual(together[np.isfinite(together)]), _MOST_TIMES
    held: dict[tuple[str, str, int], list[tuple[Floats, Floats, Floats]]] = {}
    alone = 0
    for one, *costs in found:
        nobody = _ALONE - np.arange(alone, alone + len(one.units), dtype=np.uint64)
        alone += len(one.units)
        with np.errstate(over="ignore"):  # by a scale next to nothing
            losses, naive = (
                np.clip(np.nan_to_num(cost / scale, nan=most, posinf=most), 0.0, most)
                for cost in costs
            )
        part = np.where(one.units == 0, nobody, one.units), losses, naive
        rollout, _, step = one.rollout.rpartition("#")
        if step.isdigit():
            held.setdefault((one.arm, rollout, int(step)), []).append(part)
    return [ArmScores(*place, _by_unit(parts), most) for place, parts in held.items()]


def _usual(losses: Floats) -> float:
    """The median, or the mean where most are none; one where all are."""
    if not len(losses):
        return 1.0
    middle = float(np.median(losses))
    return middle if middle > 0.0 else float(losses.mean()) or 1.0


def _without(rows: ScoredRows, without: Sequence[LeftOut]) -> ScoredRows:
    out = np.zeros(len(rows.times), bool)
    for one in without:
        within = (rows.times >= one.since) & (rows.times < one.until)
        out |= within & (rows.tenants == one.tenant) if one.tenant else within
    return rows.taken(~out) if out.any() else rows


def _by_unit(parts: Sequence[tuple[Floats, Floats, Floats]]) -> ArmLosses:
    units, losses, naive = (np.concatenate(column) for column in zip(*parts, strict=True))
    _, place, rows = np.unique(units, return_inverse=True, return_counts=True)
    mean, constant = (np.bincount(place, weights=values) / rows for values in (losses, naive))
    return ArmLosses(len(rows), float(mean.sum()), float((mean**2).sum()), float(constant.sum()))


def _act(
    tx: Tx,
    file: ModelFile,
    live: Deployment,
    verdict: Verdict,
    now: float,
    evidence: Mapping[str, Any],
) -> tuple[str, Deployment, tuple[Effect, ...]]:
    if verdict.failed:
        cause = Cause(CANARY, f"version {live.challenger}")
        effects = open_incident(
            tx,
            file,
            cause,
            title=f"version {live.challenger} was rolled back: {verdict.sentence}",
            now=now,
            since=live.rollout_started,
            evidence=evidence,
            decision=_decision_id(live),
            done=[f"rolled back to version {live.champion}; the canary had {live.share:.0%}"],
        )
        out = tuple(sorted({*live.rolled_back, live.challenger or ""}))
        return "rollback", replace(without_challenger(live, now), rolled_back=out), effects
    share = next_share(file, live)
    if share < 1.0:
        return "advance", at_share(live, share, now), ()
    after = promoted(tx, file, live, now, _decision_id(live))
    return "promote", after.live, after.effects


def _decision_id(live: Deployment) -> str:
    """One verdict that acts for each step of a rollout, whoever takes it and how often."""
    return f"{live.rollout}/step-{live.step}"


def _remember(
    store: ControlStore, live: Deployment, file: ModelFile, verdict: Verdict,
    guards: Sequence[GuardVerdict], now: float, shards: Shards,
) -> None:  # fmt: skip
    """The last verdict of each window, with what each guard said: the course of the rollout."""
    window_s = parse_duration(file.watch.window)
    detail = {
        "missing": verdict.missing, "step": live.step, "share": live.share,
        "guards": msgspec.to_builtins(guards),
    }  # fmt: skip
    row = WindowVerdict(
        live.model, now // window_s * window_s, ROLLOUT, "", verdict.outcome, verdict.code,
        verdict.sentence, detail,
    )  # fmt: skip
    with store.begin([live.model]) as tx:
        shards.require(tx, [live.model])
        tx.add_verdicts([row])


def _evidence(
    store: ControlStore, log: EventLog, contract: Contract, live: Deployment, now: float
) -> dict[str, Any]:
    with store.read() as tx:
        histograms = output_histograms(tx, live, live.rollout_started, now)
    where = {"routed": live.challenger, "answered": live.champion}
    found = log.samples(live.model, contract, live.rollout_started, now + 1, where, 5)
    return {"histograms": histograms, "samples": sample_requests(found)}
