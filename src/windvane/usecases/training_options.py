"""What a person says of training a version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train: the views to leave out, where the holdout begins (seconds since the epoch;
    None for the latest fifth), the seed, and what an unseen category does ("null" or "error").
    ``accept`` is the reason for which a version that is worse than the champion, or answers
    otherwise than what was trained, is registered all the same, ``accepted_by`` who says so.
    ``lineage`` goes on the record (git sha, file name)."""

    without: tuple[str, ...] = ()
    holdout_from: float | None = None
    seed: int = 0
    unknown: str = "null"
    accept: str = ""
    accepted_by: str = ""
    lineage: Mapping[str, str] | None = None


class TrainingOrder(msgspec.Struct, frozen=True):
    """What the command line hands to the process that trains. ``data`` is the table's path as it
    was given; ``recipe`` lacks the lineage."""

    model: str
    data: str
    label: str
    time: str
    recipe: Recipe
    as_json: bool = False

    @property
    def without(self) -> tuple[str, ...]:
        return self.recipe.without
