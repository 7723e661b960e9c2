"""Judge the running rollout; move it on, promote it, or roll it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from windvane.core.alerting import CANARY, Cause
from windvane.core.journal import Decision, Effect
from windvane.core.rollout import (
    ArmFacts,
    GateFacts,
    GatePolicy,
    StageErrors,
    judge_gate,
)
from windvane.core.routing import Arm
from windvane.core.signature import MAX_MAGNITUDE
from windvane.core.task import Contract, make_task
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.clock import Clock
from windvane.ports.control_store import (
    ControlStore,
    Deployment,
    Tx,
    UnitCounts,
    WindowVerdict,
)
from windvane.ports.event_log import EventLog
from windvane.usecases.change_deployment import change_deployment
from windvane.usecases.gather_evidence import output_histograms, sample_requests
from windvane.usecases.leases import Shards
from windvane.usecases.open_incident import close_incident, open_incident
from windvane.usecases.read_model_file import (
    ModelFile,
    parse_duration,
    parse_share,
    read_model_file,
)

JUDGE = "rollout.gate"
ROLLOUT = "rollout"  # as the monitor of its verdicts


def gate_policy(file: ModelFile) -> GatePolicy:
    return GatePolicy(
        alpha=file.rollout.alpha,
        soak_s=parse_duration(file.rollout.soak),
        max_error_rate=parse_share(file.rollout.max_error_rate),
        max_loss_increase=file.rollout.max_loss_increase,
        outcomes=bool(file.predicts.outcome),
    )


def advance_rollout(
    store: ControlStore,
    log: EventLog,
    clock: Clock,
    model: str,
    shards: Shards,
    scored: Sequence[Mapping[str, Any]],
) -> Verdict | None:
    """The gate's verdict, or None where nothing is rolling out.

    ``scored`` are the log's counted losses since the rollout began; they change slowly, so
    the caller decides how often to read them again.
    """
    now = clock.now()
    with store.read() as tx:
        live = tx.deployment(model)
        if live is None or not live.challenger or live.broken_views:
            return None
        file = read_model_file(tx.model(model).text)
        facts = gate_facts(file, live, tx.unit_counts(live.rollout), scored)
    policy = gate_policy(file)
    verdict = judge_gate(facts, policy, now)
    if verdict.outcome in (Outcome.HOLD, Outcome.ERROR):
        _remember(store, live, file, verdict, shards)
        return verdict
    evidence: dict[str, Any] = {}
    if verdict.failed:
        evidence = _evidence(store, log, file.contract, live, now)
    with store.begin([model]) as tx:
        shards.require(tx, [model])
        if tx.deployment(model) != live:
            return None
        action, fresh, effects = _act(tx, file, live, verdict, now, evidence)
        published = change_deployment(tx, live, fresh)
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


def gate_facts(
    file: ModelFile,
    live: Deployment,
    counts: Sequence[UnitCounts],
    scored: Sequence[Mapping[str, Any]],
) -> GateFacts:
    """What the gate judges, from unit counts and counted losses."""
    by = {(c.arm, c.step): c for c in counts}
    none = UnitCounts("", 0, 0, 0, 0)

    def stages(what: str) -> tuple[StageErrors, ...]:
        return tuple(
            StageErrors(
                getattr(by.get((Arm.CHALLENGER, step), none), what),
                getattr(by.get((Arm.CHAMPION, step), none), what),
                min(parse_share(share), 0.999),
            )
            for step, share in enumerate(file.rollout.steps[: live.step + 1])
        )

    mine = [c for c in counts if c.arm == Arm.CHALLENGER]
    return GateFacts(
        started=live.rollout_started,
        stage_started=live.stage_started,
        challenger_units=sum(c.units for c in mine),
        failed_units=sum(c.failed for c in mine),
        errors=stages("failed"),
        slow=stages("slow"),
        challenger=_losses(scored, Arm.CHALLENGER, live.rollout),
        champion=_losses(scored, Arm.CHAMPION, live.rollout),
    )


def count_losses(
    log: EventLog, contract: Contract, model: str, start: float, end: float
) -> list[Mapping[str, Any]]:
    """What answers cost, by arm and rollout: rows of (arm, rollout, n, loss, loss_squares). A loss
    that has a unit is a share of the champion's mean."""
    task = make_task(contract.task)
    found = [
        (one.arm, one.rollout, losses[np.isfinite(losses)])
        for one in log.scored(model, contract, start, end)
        for losses in [task.losses(one.outputs, one.labels)]
    ]
    scale = 1.0
    if task.loss_is_relative:
        champion = [losses for arm, _, losses in found if arm == Arm.CHAMPION and len(losses)]
        scale = float(np.concatenate(champion).mean()) if champion else 0.0
        if scale <= 0.0:
            return []
    with np.errstate(over="ignore"):  # by a scale next to nothing
        shares = [
            (arm, rollout, np.minimum(losses / scale, MAX_MAGNITUDE))
            for arm, rollout, losses in found
        ]
    return [
        {
            "arm": arm,
            "rollout": rollout,
            "n": len(losses),
            "loss": float(losses.sum()),
            "loss_squares": float((losses**2).sum()),
        }
        for arm, rollout, losses in shares
    ]


def _losses(scored: Sequence[Mapping[str, Any]], arm: Arm, rollout: str) -> ArmFacts:
    rows = [r for r in scored if r["arm"] == arm and r["rollout"].rpartition("#")[0] == rollout]
    return ArmFacts(
        sum(r["n"] for r in rows),
        sum(r["loss"] for r in rows),
        sum(r["loss_squares"] for r in rows),
    )


def _act(
    tx: Tx,
    file: ModelFile,
    live: Deployment,
    verdict: Verdict,
    now: float,
    evidence: Mapping[str, Any],
) -> tuple[str, Deployment, tuple[Effect, ...]]:
    gone = replace(live, challenger=None, share=0.0, step=0, changed_at=now)
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
        return "rollback", replace(gone, rollout="", rolled_back=out), effects
    steps = file.rollout.steps
    after = live.step + 1
    if after < len(steps) and parse_share(steps[after]) < 1.0:
        share = parse_share(steps[after])
        fresh = replace(live, share=share, step=after, stage_started=now, changed_at=now)
        return "advance", fresh, ()
    champion = live.challenger or live.champion
    told: tuple[Effect, ...] = ()
    for held in tx.open_incidents(file.model):
        if held.kind == CANARY.name:
            cause = Cause(CANARY, held.cause.partition(":")[2])
            lines = [f"version {champion} was promoted"]
            told += close_incident(
                tx, file.model, cause, now=now, decision=_decision_id(live), lines=lines
            )
    fresh = replace(gone, champion=champion, previous=live.champion, rollout="")
    return "promote", fresh, told


def _decision_id(live: Deployment) -> str:
    """One verdict that acts for each step of a rollout, whoever takes it and how often."""
    return f"{live.rollout}/step-{live.step}"


def _remember(
    store: ControlStore, live: Deployment, file: ModelFile, verdict: Verdict, shards: Shards
) -> None:
    window_s = parse_duration(file.watch.window)
    start = live.stage_started // window_s * window_s
    row = WindowVerdict(
        live.model, start, ROLLOUT, "", verdict.outcome, verdict.code, verdict.sentence,
        {"missing": verdict.missing, "step": live.step},
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
