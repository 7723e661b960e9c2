"""A version of a model that somebody else serves: its past predictions are its baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from windvane.core.acceptance import CandidateFacts, ParityReport
from windvane.core.errors import did_you_mean
from windvane.core.execution import (
    INPUTS_FILE,
    SERVED_FILE,
    Offer,
    RuntimeName,
    ServedBy,
    choose_runtime,
)
from windvane.core.signature import FeatureSpec, FeatureType, InputSpec
from windvane.core.task import Contract, Outputs, Task, make_task
from windvane.ports.learner import Columns, TrainingData
from windvane.usecases.accept_candidate import (
    BadTrainingData,
    Proposal,
    Stores,
    Trained,
    accept,
    applied,
    check_data,
    duplicates,
    evaluate,
    split_by_time,
)

_NOT_COMPARED = "it is served elsewhere"
_VIEW = "outputs"


@dataclass(frozen=True, slots=True)
class RecordedAnswers:
    """What the model answered to these very rows."""

    outputs: Outputs
    inputs: Sequence[InputSpec]
    task: str

    def predict(self, columns: Columns) -> Outputs:
        """``columns`` are the rows that were recorded, in their order."""
        rows = len(next(iter(columns.values())))
        assert rows == len(self.outputs[0])
        return self.outputs

    def write(self, folder: Path) -> None:
        served = ServedBy(RuntimeName.ELSEWHERE, "", self.task)
        (folder / SERVED_FILE).write_bytes(msgspec.json.encode(served))
        (folder / INPUTS_FILE).write_bytes(msgspec.json.encode(self.inputs))


def with_outputs(contract: Contract, columns: Mapping[str, str]) -> Contract:
    """The contract of a table that has the task's outputs beside the features: ``columns`` by
    the output's name, or the only output's under "". Raises BadTrainingData."""
    specs = {spec.name: spec for spec in make_task(contract.task).outputs}
    named = {next(iter(specs)) if len(specs) == 1 and not k else k: v for k, v in columns.items()}
    for name in named:
        if name not in specs:
            raise BadTrainingData(
                f"--output: {contract.task.kind} has no output {name!r}",
                hint=did_you_mean(name, specs),
            )
    lacking = sorted(specs.keys() - named.keys())
    if lacking:
        raise BadTrainingData(
            f"--output: which column has {', '.join(lacking)}?",
            hint=f"give --output {lacking[0]}=COLUMN",
        )
    taken = [column for column in named.values() if column in contract.names]
    if taken:
        raise BadTrainingData(f"--output: {taken[0]!r} is a feature of the model's file")
    more: list[FeatureSpec] = []
    for name, column in named.items():
        spec = specs[name]
        if len(spec.shape) > 1 or spec.size < 0:
            raise BadTrainingData(f"--output: {name} of shape {spec.shape} fits no column")
        kind = FeatureType.VECTOR if spec.shape else FeatureType.NUMBER
        more.append(FeatureSpec(column, _VIEW, kind, length=spec.size if spec.shape else 0))
    return replace(contract, features=(*contract.features, *more))


def register_elsewhere(
    stores: Stores,
    model: str,
    data: TrainingData,
    columns: Mapping[str, str],
    holdout_from: float | None,
    tags: Mapping[str, str],
    on_step: Callable[[str], None] = lambda _: None,
) -> Trained:
    """``data`` has the outputs in ``columns`` beside the features (`with_outputs`). How good the
    model is is judged only where its file says how good it has to be: it answers already.

    Raises BadTrainingData, CandidateRefused.
    """
    about = applied(stores.store, model)
    contract = about.file.contract
    task = make_task(contract.task)
    named = {spec.name: columns.get(spec.name, columns.get("", "")) for spec in task.outputs}
    outputs = [_column(data, named[spec.name]) for spec in task.outputs]
    features = {name: data.columns[name] for name in contract.names}
    data = replace(data, columns=features)
    on_step("check the data")
    check_data(about.file, data)
    _check_outputs(task, outputs, data)
    _, holdout = split_by_time(data, holdout_from, task)
    later = data.times >= holdout.times.min()
    used = [spec for spec in about.file.schema if spec.name not in data.absent]
    inputs = [InputSpec(spec.name) for spec in used]
    on_step(f"evaluate on {holdout.rows:,} later rows")
    recorded = RecordedAnswers([o[later] for o in outputs], inputs, contract.task.kind)
    found = evaluate(recorded, holdout, task, about.policy.alpha)
    parity = ParityReport(0, 0.0, 0, 0.0, 0, not_compared=_NOT_COMPARED)
    choice = choose_runtime([Offer(RuntimeName.ELSEWHERE, runs_code=False)])
    offered = Proposal(
        candidate=RecordedAnswers(outputs, inputs, contract.task.kind),
        used=used,
        facts=CandidateFacts(data.rows, duplicates(data), found.quality, None, parity),
        evaluation=found,
        params={"registered": "served elsewhere"},
        tags=tags,
        lineage={"runtime": msgspec.to_builtins(choice), "packages": {}},
        not_asked="it is served elsewhere, and nothing here can ask it",
    )
    return accept(stores, about, data, offered, on_step)


def _column(data: TrainingData, name: str) -> NDArray[np.float64]:
    values = data.columns[name]
    gone = next((i for i, value in enumerate(values) if value is None), None)
    if gone is not None:
        raise BadTrainingData(f"row {_number(data, gone)}: {name} is missing")
    return np.array(values, np.float64)


def _check_outputs(task: Task, outputs: Outputs, data: TrainingData) -> None:
    wrong = next((i for i, row in enumerate(task.rows(outputs)) if row is None), None)
    if wrong is not None:
        message = task.wrong(outputs, wrong)
        raise BadTrainingData(f"row {_number(data, wrong)}: {message}")


def _number(data: TrainingData, row: int) -> int:
    return row if data.numbers is None else int(data.numbers[row])
