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
    Stage,
    judge_gate,
    judge_guards,
)
from windvane.core.routing import Arm
from windvane.core.task import Contract, make_task
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, Deployment, Tx, WindowVerdict
from windvane.ports.event_log import EventLog
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
    verdict = judge_gate(facts, policy, now)
    if verdict.outcome in (Outcome.HOLD, Outcome.ERROR):
        guards = judge_guards(facts, policy, now)
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
    record = record_of(tx, file, live)
    stages = record.stages
    if len(stages) <= live.step:  # an earlier release began it
        stages = (*stages, Stage(min(live.share, 0.999), live.stage_started))
    left_out = _left_out(tx, live.model, record.started)
    arms = {one.arm: one.losses for one in scored if one.rollout == live.rollout}
    return GateFacts(
        tx.stage_facts(live.rollout, stages, left_out),
        next_share=next_share(file, live),
        slices=tx.slices_of(live.rollout),
        challenger=arms.get(Arm.CHALLENGER, ArmLosses()),
        champion=arms.get(Arm.CHAMPION, ArmLosses()),
        most_loss=max((one.most for one in scored), default=1.0),
        broken=live.broken_views,
        paused=live.paused,
    )


def _left_out(tx: Tx, model: str, since: float) -> list[LeftOut]:
    """When sources were broken, of everyone or of a tenant."""
    known = {i.id: i for i in (*tx.incidents(model, _INCIDENTS), *tx.open_incidents(model))}
    out: list[LeftOut] = []
    for one in sorted(known.values(), key=lambda i: i.id):
        if one.kind not in _BROKEN or (one.closed_at is not None and one.closed_at < since):
            continue
        until = math.inf if one.closed_at is None else one.closed_at
        tenant = one.cause.partition(":")[2] if one.kind == TENANT_FEED.name else ""
        out.append(LeftOut(one.since, until, tenant))
    return out


@dataclass(frozen=True, slots=True)
class ArmScores:
    """Losses of an arm of a rollout, by its units; ``most`` is what none exceeds."""

    arm: str
    rollout: str
    losses: ArmLosses
    most: float


def count_losses(
    log: EventLog, contract: Contract, model: str, start: float, end: float
) -> list[ArmScores]:
    """What answers cost, by arm and rollout, one mean loss for each unit: rows of one unit depend
    on each other. A loss that has a unit is a share of the champion's mean, and bounded."""
    task = make_task(contract.task)
    found = [
        (one, task.losses(one.outputs, one.labels), task.constant_losses(one.labels))
        for one in log.scored(model, contract, start, end)
        if one.arm in (Arm.CHAMPION, Arm.CHALLENGER) and one.rollout and len(one.labels)
    ]
    scale, most = 1.0, task.loss_bounds[1]
    if task.loss_is_relative:
        champion = [losses for one, losses, _ in found if one.arm == Arm.CHAMPION]
        together = np.concatenate(champion) if champion else np.zeros(0)
        sound = together[np.isfinite(together)]
        scale, most = float(np.median(sound)) if len(sound) else 0.0, _MOST_TIMES
        if scale <= 0.0:
            return []
    held: dict[tuple[str, str], list[tuple[Floats, Floats, Floats]]] = {}
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
        held.setdefault((one.arm, one.rollout.rpartition("#")[0]), []).append(part)
    return [
        ArmScores(arm, rollout, _by_unit(parts), most) for (arm, rollout), parts in held.items()
    ]


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
