"""The features a model is promised: names, types and bounds."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class FeatureType(enum.StrEnum):
    NUMBER = "number"
    INTEGER = "integer"
    CATEGORY = "category"


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """One named input.

    ``view`` is the upstream feed it comes from. ``low``/``high`` bound a number, both
    included. ``known`` closes a category: another value is refused; without it an unseen
    value is answered and counted.
    """

    name: str
    view: str
    type: FeatureType
    nullable: bool = False
    low: float | None = None
    high: float | None = None
    known: tuple[str, ...] = ()
