"""A candidate against the champion on the same rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windvane.core.acceptance import CandidateFacts, paired_loss
from windvane.core.errors import WindvaneError
from windvane.core.task import Contract, Outputs, make_task
from windvane.ports.artifacts import Artifacts
from windvane.ports.control_store import VersionRecord
from windvane.ports.learner import TrainingData
from windvane.ports.runtime import Predictor, RemotePredictor, Runtime, UnencodableRow
from windvane.usecases.accept_candidate import Applied, Servable
from windvane.usecases.load_version import BlockingPredictor

_AT_ONCE = 1_000


class ChampionLoader:
    """Opens the version that answers now, as a gateway does."""

    def __init__(self, runtimes: Runtime, artifacts: Artifacts) -> None:
        self._runtimes = runtimes
        self._artifacts = artifacts

    def compare(
        self, about: Applied, candidate: Servable, holdout: TrainingData, facts: CandidateFacts
    ) -> CandidateFacts:
        """The facts with what a row of the holdout costs more than with the champion, or with
        why that is not known: a champion that cannot be asked is no reason to refuse another."""
        champion = about.champion_record
        if champion is None:
            return facts
        used = set(champion.features or about.file.contract.names)
        absent = sorted(holdout.absent & used)
        if absent:
            return replace(facts, no_champion=f"the table lacks its {', '.join(absent)}")
        try:
            predictor = self._open(champion, about.file.contract, trusted=about.champion_trusted)
            try:
                outputs, answered = _answer(predictor, about.file.contract, holdout)
            finally:
                predictor.close()
        except Exception as error:  # whatever its library raises is its own affair
            said = error.message if isinstance(error, WindvaneError) else type(error).__name__
            return replace(facts, no_champion=f"it cannot be asked: {said[:300]}")
        task = make_task(about.file.contract.task)
        rows = holdout.take(answered)
        mine = candidate.predict(rows.columns)
        ok = np.array(
            [a is not None and b is not None for a, b in zip(task.rows(mine), task.rows(outputs),
                                                             strict=True)], bool,
        )  # fmt: skip
        labels = rows.labels[ok]
        ours, theirs = (
            task.holdout_losses([held[ok] for held in one], labels) for one in (mine, outputs)
        )
        found = paired_loss(ours, theirs, rows.times[ok], about.policy.alpha)
        return replace(facts, against_champion=found)

    def _open(self, version: VersionRecord, contract: Contract, *, trusted: bool) -> Predictor:
        artifact = self._artifacts.open(version.artifact, version.manifest)
        loaded = self._runtimes.load(artifact, contract, trusted=trusted)
        return BlockingPredictor(loaded) if isinstance(loaded, RemotePredictor) else loaded


def _answer(
    predictor: Predictor, contract: Contract, holdout: TrainingData
) -> tuple[Outputs, NDArray[np.bool_]]:
    """Outputs of the rows that it takes, and which these are."""
    answered = np.ones(holdout.rows, bool)
    encoded: list[Any] = []
    columns = [holdout.columns[name] for name in contract.names]
    for i, row in enumerate(zip(*columns, strict=True)):
        try:
            encoded.append(predictor.encode(row))
        except UnencodableRow:
            answered[i] = False
    parts = [predictor.predict(encoded[i : i + _AT_ONCE]) for i in range(0, len(encoded), _AT_ONCE)]
    if not parts:
        task = make_task(contract.task)
        return [np.empty((0, *spec.shape)) for spec in task.outputs], answered
    return [np.concatenate(found) for found in zip(*parts, strict=True)], answered
