"""What a model's file says about its task, as data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import ClassVar

from windvane.core.errors import WindvaneError
from windvane.core.signature import FeatureSpec


class BadTask(WindvaneError):
    """What the model's file says about its task cannot be."""

    code: ClassVar[str] = "TSK-101"
    hint = "docs/reference/tasks.md describes every kind"


class BadLabel(WindvaneError):
    """A label or an outcome that the task does not have."""

    code: ClassVar[str] = "TSK-102"


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """``kind`` and what it needs.

    ``classes``: of a multiclass or multilabel model, in the order of its probabilities.
    ``positive``: the label that a binary model's probability is of. ``outputs``: names of a
    regression's outputs, or of a tensor model's arrays with the shape of one row. ``quantiles``
    and ``horizons`` of a regression. ``low`` and ``high`` bound its outputs and outcomes, both
    included. ``score``: the array of a tensor model that sketches count. ``at``: the depth that
    a ranking is judged to.
    """

    kind: str = "binary"
    positive: str = ""
    classes: tuple[str, ...] = ()
    outputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    quantiles: tuple[float, ...] = ()
    horizons: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    score: str = ""
    at: int = 10


@dataclass(frozen=True)
class Contract:
    """What a model promises to its clients: its features in their order, and its task.

    It may grow: a later contract may have features that an earlier one has not. Its versions
    take what they need of it.
    """

    features: tuple[FeatureSpec, ...]
    task: TaskSpec = TaskSpec()

    @cached_property
    def id(self) -> str:
        """Content hash: equal contracts have equal ids on every machine."""
        body = {"features": [asdict(spec) for spec in self.features], "task": asdict(self.task)}
        text = json.dumps(body, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @cached_property
    def rows_id(self) -> str:
        """Content hash of what a row's places hold and of the task: contracts that differ in
        bounds or in what is optional have the same."""
        features = [(spec.name, spec.type.value, spec.length) for spec in self.features]
        text = json.dumps([features, asdict(self.task)], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.features)
