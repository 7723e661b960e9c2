"""From a table to a registered version: check, train, evaluate, convert, accept, register."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from windvane.core.acceptance import CandidateFacts
from windvane.core.errors import did_you_mean
from windvane.core.execution import Offer, RuntimeName, choose_runtime
from windvane.core.task import make_task
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore
from windvane.ports.learner import Learner, TrainingData
from windvane.ports.registry import Registry
from windvane.usecases.accept_candidate import (
    BadTrainingData,
    CandidateRefused,
    Proposal,
    Stores,
    Trained,
    accept,
    applied,
    check_data,
    check_present,
    duplicates,
    evaluate,
    some_rows,
    split_by_time,
)
from windvane.usecases.compare_champion import ChampionLoader
from windvane.usecases.training_options import Recipe

__all__ = ["BadTrainingData", "CandidateRefused", "Recipe", "Trained", "train_version"]

_OFFER = Offer(RuntimeName.ONNX, runs_code=False)  # a learner writes graphs only


def train_version(
    store: ControlStore,
    registry: Registry,
    learner: Learner,
    seal: Callable[[Path], str],
    clock: Clock,
    champions: ChampionLoader,
    model: str,
    data: TrainingData,
    recipe: Recipe,
    on_step: Callable[[str], None] = lambda _: None,
) -> Trained:
    """The registered version and the verdict that let it in.

    The holdout is the latest part of the data by time (a fifth by default).
    """
    about = applied(store, model)
    on_step("check the data")
    check_data(about.file, data)
    for view in recipe.without:
        if view not in about.file.features:
            hint = did_you_mean(view, about.file.features)
            raise BadTrainingData(f"there is no view {view!r} to leave out", hint=hint)
    used = [spec for spec in about.file.schema if spec.view not in recipe.without]
    check_present(data, used)
    task = make_task(about.file.contract.task)
    past, holdout = split_by_time(data, recipe.holdout_from, task)
    on_step(f"train on {past.rows:,} rows")
    candidate = learner.fit(
        used, task.spec, past.columns, past.labels, unknown=recipe.unknown, seed=recipe.seed
    )
    on_step(f"evaluate on {holdout.rows:,} later rows")
    found = evaluate(candidate, holdout, task, about.policy.alpha)
    on_step("convert and check parity")
    tolerance = about.policy.parity_tolerance
    parity = candidate.parity(some_rows(holdout, 2_000).columns, tolerance)
    parity = parity.signed(recipe.accept, recipe.accepted_by)
    facts = CandidateFacts(
        past.rows,
        duplicates(data),
        found.quality,
        found.naive,
        parity,
        accepted=recipe.accept,
        over_naive=found.over_naive,
    )
    if about.champion:
        on_step(f"compare with version {about.champion} on the same rows")
        facts = champions.compare(about, found.outputs, holdout, facts)
    lineage: dict[str, Any] = {"runtime": msgspec.to_builtins(choose_runtime([_OFFER]))}
    if recipe.accept:
        lineage["accepted"] = {"reason": recipe.accept, "by": recipe.accepted_by}
    offered = Proposal(
        candidate=candidate,
        used=used,
        facts=facts,
        evaluation=found,
        params=learner.params,
        tags={
            **(recipe.lineage or {}),
            "seed": str(recipe.seed),
            "without": ",".join(recipe.without),
        },
        lineage=lineage,
    )
    return accept(Stores(store, registry, seal, clock), about, data, offered, on_step)
