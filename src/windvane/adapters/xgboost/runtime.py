"""Loading and running a version's boosted trees."""

from __future__ import annotations

from pathlib import Path

from windvane.adapters.xgboost.library import Booster
from windvane.core.signature import Transform
from windvane.core.task import Contract
from windvane.inference.matrix_predictor import MatrixPredictor, check_task
from windvane.ports.artifacts import Artifact
from windvane.ports.runtime import CannotLoad, read_inputs, read_served
from windvane.ports.source import DataFile

# A booster's share beyond its file, and its file's growth in memory; measured on 0.2 to 8 MB.
_BOOSTER_BYTES = 1 << 20
_GROWTH = 4


class XgboostRuntime:
    """The runtime port on XGBoost. Its UBJSON and JSON are data, so trust is not asked for."""

    def load(self, artifact: Artifact, contract: Contract, *, trusted: bool) -> MatrixPredictor:
        del trusted
        served = read_served(artifact)
        check_task(served, contract)
        inputs = read_inputs(artifact, contract.names)
        body = artifact.read(served.file)
        booster = Booster(body, rounds=served.rounds)
        memory = _BOOSTER_BYTES + _GROWTH * len(body)
        return MatrixPredictor(booster, inputs, contract, served, memory)


def read_xgboost(path: Path) -> DataFile:
    """A booster's file with what it holds of itself: names, the best iteration where it stopped
    early, how many outputs a row has, and the categories of its inputs. Raises CannotLoad."""
    body = path.read_bytes()
    booster = Booster(body)
    try:
        names = tuple(booster.names)
        config = booster.config
        best = booster.attribute("best_iteration")
        vocabularies = booster.categories
    finally:
        booster.close()
    learner = config.get("learner", {})
    objective = str(learner.get("objective", {}).get("name", ""))
    classes = int(learner.get("learner_model_param", {}).get("num_class", "0"))
    if objective == "multi:softmax":
        raise CannotLoad(
            "it gives the label (multi:softmax), not probabilities",
            hint="train it with objective='multi:softprob', or set it before it is saved",
        )
    transform = Transform.SIGMOID if objective == "binary:logitraw" else Transform.NONE
    rounds = int(best) + 1 if best.isdigit() else 0
    return DataFile(body, names, vocabularies, max(1, classes), (), rounds, transform)
