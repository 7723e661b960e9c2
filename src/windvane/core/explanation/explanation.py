"""An explanation, and on which scale its parts add up to the answer."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_TOLERANCE = 1e-4  # float32 sums of hundreds of trees


class Method(enum.StrEnum):
    """``TREE_SHAP``: exact Shapley values of the trees' own paths, by the model's own library
    (Lundberg et al., 2018, "Consistent Individualized Feature Attribution for Tree Ensembles").
    ``PERMUTATION``: Shapley values sampled by switching features from a background row to the
    explained one (Castro et al., 2009, "Polynomial calculation of the Shapley value based on
    sampling")."""

    TREE_SHAP = "tree_shap"
    PERMUTATION = "permutation"


class Scale(enum.StrEnum):
    """What ``base`` and the contributions add up to: the explained number itself, its log-odds
    ln(p / (1 - p)), its natural logarithm, or the score of its class, of which a softmax over
    all classes makes probabilities."""

    OUTPUT = "output"
    LOG_ODDS = "log_odds"
    LOG = "log_output"
    SCORE = "score"


@dataclass(frozen=True, slots=True)
class Explanation:
    """``base`` and the sum of ``contributions`` (by the contract's features) are the explained
    number ``output`` on ``scale``.

    A sampled one also says after how many ``evaluations`` of the version, and the largest
    ``standard_error`` of its contributions (None where one sample cannot tell).
    """

    method: Method
    output: str
    scale: Scale
    base: float
    contributions: Mapping[str, float]
    evaluations: int = 0
    standard_error: float | None = None


def scale_of(
    scores: NDArray[np.float64], group: Sequence[int], values: Sequence[float], *, probability: bool
) -> Scale | None:
    """On which scale a model's raw ``scores`` (rows, groups) are its answers: of each row
    ``values[i]`` is made of the score at ``group[i]``. None where no scale that is known fits
    every row: then the scores explain something else than what is served."""
    own = scores[np.arange(len(scores)), group]
    served = np.asarray(values, np.float64)
    if probability:
        apart = np.exp(scores - scores.max(axis=1, keepdims=True))
        tried = {
            # First: of a sure answer the log-odds of one class alone look nearly the same.
            Scale.SCORE: (apart / apart.sum(axis=1, keepdims=True))[np.arange(len(own)), group],
            Scale.LOG_ODDS: 0.5 * (1.0 + np.tanh(0.5 * own)),
            Scale.OUTPUT: own,
        }
        if scores.shape[1] == 1:
            del tried[Scale.SCORE]
    else:
        tried = {Scale.OUTPUT: own, Scale.LOG: np.exp(np.minimum(own, 700.0))}
    sizes = np.maximum(1.0, np.abs(served))
    if probability:  # a small one by how small it is, and one near 1 by how near
        sizes = np.clip(np.minimum(served, 1.0 - served) / 0.01, 1e-3, 1.0)
    for scale, made in tried.items():
        if bool((np.abs(made - served) <= _TOLERANCE * sizes).all()):
            return scale
    return None
