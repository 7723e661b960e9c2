"""The routing table and the sticky choice of an arm."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from windvane.core.sketch import FeatureSpec


class Arm(enum.StrEnum):
    CHAMPION = "champion"
    CHALLENGER = "challenger"
    FALLBACK = "fallback"


@dataclass(frozen=True, slots=True)
class VersionEntry:
    """Where a version's files lie and what they must hash to."""

    version: str
    artifact: str
    manifest: str


@dataclass(frozen=True, slots=True)
class ModelRoute:
    """One model's part of the table.

    Units whose bucket is below ``challenger_share`` meet the challenger. While
    ``standing_in`` names a version, it answers for the champion (a fallback that the
    steward decided). ``chain`` is tried in order when an answer cannot be computed;
    ``constant`` is the last resort.
    """

    model: str
    layout_id: str
    schema: tuple[FeatureSpec, ...]
    outcome: str
    deadline_s: float
    versions: tuple[VersionEntry, ...]
    champion: str
    challenger: str | None = None
    challenger_share: float = 0.0
    standing_in: str | None = None
    chain: tuple[str, ...] = ()
    constant: float | None = None
    rollout: str = ""


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A SHA-256 of an API key and the tenant it stands for."""

    digest: str
    tenant: str


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """All that a gateway needs to answer. ``seq`` only ever grows."""

    seq: int
    models: Mapping[str, ModelRoute]
    keys: tuple[KeyEntry, ...]


def bucket(model: str, unit: str) -> float:
    """A unit's fixed place in [0, 1): the same on every machine, for every table."""
    digest = hashlib.blake2b(f"{model}\x00{unit}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64


def choose(route: ModelRoute, unit: str) -> tuple[str, Arm]:
    """The version and arm for a unit; growing the share never moves a unit back."""
    if route.challenger and bucket(route.model, unit) < route.challenger_share:
        return route.challenger, Arm.CHALLENGER
    if route.standing_in:
        return route.standing_in, Arm.FALLBACK
    return route.champion, Arm.CHAMPION
