"""The routing table and the sticky choice of an arm."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from windvane.core.routing.access import KeyEntry, TenantLimit
from windvane.core.task import Contract, OutputRow


class Arm(enum.StrEnum):
    CHAMPION = "champion"
    CHALLENGER = "challenger"
    FALLBACK = "fallback"


HURRIED = "hurried"
"""Flag of a row whose version had no answer yet when its client's own deadline came."""
UNPAIRED = "unpaired"
"""Flag of a row of a rollout that is no evidence in either arm: rows like it are drawn for both,
and answered by one of the two only."""
CASCADED = "cascaded"
"""Flag of a row that another model's cascade asked about."""
SELECTED, SELECTED_CHALLENGER = "selected", "selected_challenger"
"""What stands for the arm where windows are counted, of rows that somebody chose by their answers:
they are no sample of what the model is asked, so features and outputs are not judged by them."""
NO_SAMPLE = frozenset({SELECTED, SELECTED_CHALLENGER})


@dataclass(frozen=True, slots=True)
class VersionEntry:
    """Where a version's files lie and what they must hash to; ``trusted`` if an admin vouched
    for these very files, which may then run code (apart from the gateway). ``features`` are
    those of the contract that it takes (empty: all)."""

    version: str
    artifact: str
    manifest: str
    trusted: bool = False
    features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CircuitSpec:
    """A version is not tried for ``pause_s`` after ``failures`` of its last executions failed;
    then ``probes`` of them decide."""

    failures: int = 5
    pause_s: float = 30.0
    probes: int = 3


@dataclass(frozen=True, slots=True)
class CascadeSpec:
    """Rows whose confidence is below ``below`` are answered by the model ``to``."""

    to: str
    below: float


@dataclass(frozen=True)
class ModelRoute:
    """One model's part of the table.

    Units whose bucket is below ``challenger_share`` meet the challenger. While
    ``standing_in`` names a version, it answers for the champion (a fallback that the
    steward decided); ``stand_ins`` do for the rows of one tenant each, (tenant, version).
    ``chain`` is tried in order when an answer cannot be computed, then ``rule``; ``constant`` is
    the last resort, outputs in the task's order. Answers are cached for ``cache_ttl_s`` (0: not
    at all), with ``cache_all`` also those that are computed as fast as they are found.
    ``tenants`` may see the model; all may where it is empty. ``circuit`` says when a version is
    not tried for a while, ``cascade`` which model answers where this one is unsure. While
    ``off`` it answers nobody: somebody turned it off. ``previous`` is what a rollback returns
    to; it is not loaded before that. Of ``compared_share`` of the requests that a version answered
    its stand-in is asked as well (0: of none).
    """

    model: str
    contract: Contract
    outcome: str
    deadline_s: float
    versions: tuple[VersionEntry, ...]
    champion: str
    challenger: str | None = None
    challenger_share: float = 0.0
    standing_in: str | None = None
    chain: tuple[str, ...] = ()
    constant: OutputRow | None = None
    rollout: str = ""
    rule: tuple[RuleStep, ...] = ()
    cache_ttl_s: float = 0.0
    tenants: tuple[str, ...] = ()
    cache_all: bool = False
    circuit: CircuitSpec = CircuitSpec()
    cascade: CascadeSpec | None = None
    off: bool = False
    previous: VersionEntry | None = None
    stand_ins: tuple[tuple[str, str], ...] = ()
    compared_share: float = 0.0

    def for_tenant(self, tenant: str) -> ModelRoute:
        """The route of one tenant's rows."""
        own = dict(self.stand_ins).get(tenant)
        return self if own is None else replace(self, standing_in=own, stand_ins=())

    @cached_property
    def optional(self) -> tuple[tuple[str, int], ...]:
        """Features that a client need not send, with their places in a row."""
        return tuple(
            (spec.name, i) for i, spec in enumerate(self.contract.features) if spec.optional
        )

    @cached_property
    def _needs(self) -> Mapping[str, frozenset[str]]:
        every = self.contract.names
        return {entry.version: frozenset(entry.features or every) for entry in self.versions}

    def needs(self, version: str) -> frozenset[str]:
        """The features that a version takes."""
        return self._needs[version]


@dataclass(frozen=True, slots=True)
class RuleStep:
    """``give`` as the outputs if ``feature`` lies above or below a bound, or is one of some
    names; a step without a feature always gives. A missing value fits no bound."""

    give: OutputRow
    feature: str = ""
    above: float | None = None
    below: float | None = None
    among: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """All that a gateway needs to answer. ``seq`` only ever grows."""

    seq: int
    models: Mapping[str, ModelRoute]
    keys: tuple[KeyEntry, ...]
    limits: tuple[TenantLimit, ...] = ()


def bucket(salt: str, unit: str) -> float:
    """A unit's fixed place in [0, 1) by this ``salt``: the same on every machine, for every table
    of one rollout, and another in the next, so that nobody meets all challengers."""
    digest = hashlib.blake2b(f"{salt}\x00{unit}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64


def salt_of(rollout: str) -> str:
    """What the units of a rollout are drawn by: its name without the step that it is in."""
    return rollout.rpartition("#")[0]


def unit_of(tenant: str, unit: str) -> str:
    """What a tenant's unit is drawn by: another tenant's unit of that name is another one."""
    return f"{tenant}\x00{unit}"


def choose(route: ModelRoute, unit: str) -> tuple[str, Arm]:
    """The version and arm for a unit (`unit_of`); growing the share never moves a unit back."""
    if route.challenger and bucket(salt_of(route.rollout), unit) < route.challenger_share:
        return route.challenger, Arm.CHALLENGER
    if route.standing_in:
        return route.standing_in, Arm.FALLBACK
    return route.champion, Arm.CHAMPION


def follow_rule(steps: tuple[RuleStep, ...], row: Mapping[str, Any]) -> OutputRow | None:
    """What the first fitting step gives for ``row`` (values by feature), None if none fits."""
    for step in steps:
        if not step.feature:
            return step.give
        value = row.get(step.feature)
        if value is None:
            continue
        if step.among:
            if value in step.among:
                return step.give
        elif (step.above is None or value > step.above) and (
            step.below is None or value < step.below
        ):
            return step.give
    return None
