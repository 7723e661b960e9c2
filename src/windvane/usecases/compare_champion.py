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
from windvane.ports.learner import TrainingData
from windvane.ports.runtime import Predictor, Runtime, UnencodableRow
from windvane.usecases.accept_candidate import Applied
from windvane.usecases.load_version import answer_encoded, load_to_ask


class ChampionLoader:
    """Opens the version that answers now, as a gateway does."""

    def __init__(self, runtimes: Runtime, artifacts: Artifacts) -> None:
        self._runtimes = runtimes
        self._artifacts = artifacts

    def compare(
        self, about: Applied, outputs: Outputs, holdout: TrainingData, facts: CandidateFacts
    ) -> CandidateFacts:
        """The facts with what a row of the holdout costs more than with the champion, or with
        why that is not known: a champion that cannot be asked is no reason to refuse another.
        ``outputs`` are the candidate's, of the holdout's rows."""
        champion = about.champion_record
        if champion is None:
            return facts
        used = set(champion.features or about.file.contract.names)
        absent = sorted(holdout.absent & used)
        if absent:
            return replace(facts, no_champion=f"the table lacks its {', '.join(absent)}")
        contract = about.file.contract
        try:
            artifact = self._artifacts.open(champion.artifact, champion.manifest)
            predictor = load_to_ask(
                self._runtimes, artifact, contract, trusted=about.champion_trusted
            )
            try:
                champions, answered = _answer(predictor, contract, holdout)
            finally:
                predictor.close()
        except Exception as error:  # whatever its library raises is its own affair
            reason = error.message if isinstance(error, WindvaneError) else type(error).__name__
            return replace(facts, no_champion=f"it cannot be asked: {reason[:300]}")
        task = make_task(contract.task)
        rows = holdout.take(answered)
        mine = [held[answered] for held in outputs]
        pairs = zip(task.rows(mine), task.rows(champions), strict=True)
        both = np.array([a is not None and b is not None for a, b in pairs], bool)
        labels = rows.labels[both]
        ours, theirs = (
            task.holdout_losses([held[both] for held in one], labels) for one in (mine, champions)
        )
        found = paired_loss(ours, theirs, rows.times[both], about.policy.alpha)
        cost = float(theirs.mean()) if task.loss_is_relative and len(theirs) else 1.0
        return replace(facts, against_champion=found, champion_loss=cost)


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
    return answer_encoded(predictor, contract, encoded), answered
