"""The record of a rollout: each stage as it was begun, and how it ended."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from windvane.core.rollout import Stage, units_without_failure
from windvane.core.routing import Arm
from windvane.core.sketch import LATENCY_EDGES_US
from windvane.ports.control_store import Deployment, Tx
from windvane.ports.rollouts import RolloutRecord
from windvane.usecases.read_model_file import ModelFile, parse_duration, parse_share
from windvane.usecases.rollout_policy import gate_policy, slow_from

_LATELY_S = 86_400.0
_ENOUGH = 500  # answers, for a p99
_TIMES_THE_CHALLENGERS = 4.0
"""Units of the champion that are kept for each of the challenger's: more add little."""
_MOST_SHARE = 0.999


def least_span_s(tx: Tx, file: ModelFile, live: Deployment, now: float) -> float:
    """How long (s) the present stage takes at least by the traffic of the last day, were each of
    its requests of another unit; infinite where there was none."""
    sent = sum(
        sketch.total("requests")
        for key, sketch in tx.sketches(live.model, now - _LATELY_S, math.inf)
        if key.version
    )
    needed = units_without_failure(gate_policy(file), next_share(file, live))
    return needed / (sent * live.share) * _LATELY_S if sent else math.inf


def begin_stage(tx: Tx, file: ModelFile, live: Deployment, now: float) -> Stage:
    """The stage that a rollout with the share of ``live`` begins ``now`` (s)."""
    share = min(live.share, _MOST_SHARE)
    sample = min(1.0, _TIMES_THE_CHALLENGERS * share / (1.0 - share))
    return Stage(share, now, _slow_us(tx, file, live, now), sample)


def next_share(file: ModelFile, live: Deployment) -> float:
    """The next larger step of the file as it is now; everything where there is none."""
    steps = (parse_share(step) for step in file.rollout.steps)
    return next((share for share in steps if share > live.share), 1.0)


def record_rollout(
    tx: Tx, file: ModelFile | None, before: Deployment | None, after: Deployment, now: float,
    end: str,
) -> None:  # fmt: skip
    """Keep what a change of a deployment means for its rollout; ``end`` says how one ended. Without
    a ``file`` no stage is kept that begins."""
    held = "" if before is None else before.rollout
    if held and held != after.rollout:
        record = tx.rollout(held)
        if record is not None:
            tx.put_rollout(replace(record, ended=now, end=end))
    if not after.rollout or after.challenger is None or file is None:
        return
    if before is not None and held == after.rollout and before.step == after.step:
        return
    earlier = after if before is None or held != after.rollout else before
    record = record_of(tx, file, earlier, begun=held == after.rollout)
    if len(record.stages) <= after.step:
        stages = (*record.stages, begin_stage(tx, file, after, now))
        tx.put_rollout(replace(record, stages=stages))


def record_of(tx: Tx, file: ModelFile, live: Deployment, *, begun: bool = True) -> RolloutRecord:
    """The record of the rollout that is under way. Of one that an earlier release began, the stages
    before the present one are those of the file, and the present one, where it has ``begun``, is as
    it is live."""
    assert live.challenger is not None
    found = tx.rollout(live.rollout)
    if found is not None:
        return found
    shares = [min(parse_share(s), _MOST_SHARE) for s in file.rollout.steps[: live.step]]
    stages = tuple(Stage(share, live.rollout_started) for share in shares)
    if begun:
        stages += (Stage(min(live.share, _MOST_SHARE), live.stage_started),)
    return RolloutRecord(
        live.rollout, live.model, live.challenger, live.champion, live.rollout_started, stages
    )


def _slow_us(tx: Tx, file: ModelFile, live: Deployment, now: float) -> float:
    """So many times the champion's own p99 of the last day, or the file's limit where too few of
    its answers are known."""
    counted = np.zeros(len(LATENCY_EDGES_US) + 1, np.int64)
    for key, sketch in tx.sketches(live.model, now - _LATELY_S, math.inf):
        if key.version == live.champion and key.arm == Arm.CHAMPION:
            counted += sketch.latency
    if counted.sum() < _ENOUGH:
        return parse_duration(file.watch.latency) * 1e6
    at = int(np.searchsorted(np.cumsum(counted), 0.99 * counted.sum(), side="left"))
    p99_us = float(LATENCY_EDGES_US[min(at, len(LATENCY_EDGES_US) - 1)])
    return slow_from(file.rollout) * p99_us
