"""What happened to the units of running rollouts: the first request of each in a stage, and the
first time that something went wrong for it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from windvane.core.rollout import EVERYONE, FAILED, SLOW, segment_slice, tenant_slice
from windvane.core.routing import HURRIED, UNPAIRED, Arm
from windvane.core.sketch import segment_groups, segment_name
from windvane.ports.events import CountedEvent, Predicted, Refused, RouteTaken, column_values
from windvane.ports.rollouts import FirstRequest, UnitEvent
from windvane.usecases.event_contracts import EventContracts, RolloutStep

_ARMS = frozenset({Arm.CHAMPION.value, Arm.CHALLENGER.value})
_HASH = 2.0**64


@dataclass(frozen=True, slots=True)
class CountedUnits:
    """What events say of units, in their order; many may be known already."""

    requests: Sequence[FirstRequest]
    events: Sequence[UnitEvent]


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of a unit: whether the version owed it an answer and gave none of its own, and whether
    it was slow, None where its request had rows of both arms; its place in its event."""

    arm: str
    unit: str
    failed: bool
    slow: bool | None
    at: int


def count_units(known: EventContracts, events: Sequence[CountedEvent]) -> CountedUnits:
    """All of the challenger's units, and of the champion's a sample, and those that anything went
    wrong for. Rows that a stand-in answered by design are of neither arm, and so are those whose
    like in the other arm are."""
    requests: list[FirstRequest] = []
    happened: list[UnitEvent] = []
    for event in events:
        if not isinstance(event, Predicted | Refused):
            continue
        found = known.stage_of(event.rollout)
        if found is None:
            continue
        sample = 1.0 if found.stage is None else found.stage.sample
        for row in _rows(known, event, found):
            unit = row.unit or weak_unit(event)
            if row.arm == Arm.CHALLENGER or is_sampled(event.tenant, unit, sample):
                requests.append(
                    FirstRequest(
                        found.rollout, found.step, event.tenant, unit, row.arm, event.ts,
                        row.failed, row.slow,
                    )
                )  # fmt: skip
            for what, so in ((FAILED, row.failed), (SLOW, row.slow)):
                slices = _slices(known, event, row.at) if so else ()
                happened += [
                    UnitEvent(
                        found.rollout, what, of, event.tenant, unit, row.arm, found.step, event.ts
                    )
                    for of in slices
                ]
    return CountedUnits(requests, happened)


def _rows(known: EventContracts, event: Predicted | Refused, step: RolloutStep) -> Iterator[_Row]:
    if isinstance(event, Refused):
        for arm, unit in zip(event.arms, event.units, strict=True):
            if arm in _ARMS:
                yield _Row(arm, unit, failed=True, slow=False, at=-1)
        return
    own = None if step.stage is None else step.stage.slow_us
    late = event.latency_us > (known.models[event.model].slow_us if own is None else own)
    mixed = len({route.arm for route in event.routes} & _ARMS) > 1
    units = column_values(event.units, event.rows)
    for at, (route, unit) in enumerate(zip(event.routes_of(), units, strict=True)):
        if route.arm not in _ARMS or UNPAIRED in route.flags:
            continue
        # Its client would not wait for what took too long: slow, whoever's limit it was.
        slow = True if HURRIED in route.flags else None if mixed else late
        yield _Row(route.arm, unit, _has_failed(route), slow, at)


def _has_failed(route: RouteTaken) -> bool:
    return "failed" in route.flags


def _slices(known: EventContracts, event: Predicted | Refused, at: int) -> list[str]:
    """Everyone, its tenant, and the declared segments that the row is in."""
    out = [EVERYONE, tenant_slice(event.tenant)]
    declared = known.models[event.model].segments
    if at < 0 or not declared or not isinstance(event, Predicted):
        return out
    layout = known.counted_on(event.model, event.routes[0 if len(event.routes) == 1 else at].routed)
    axes = {axis.name: axis for axis in reversed(layout.axes)}
    contract, _ = known.contracts[event.contract]
    for feature in declared:
        axis = axes.get(feature)
        if axis is None or feature not in contract.names:
            continue
        value = column_values(event.features[contract.names.index(feature)], event.rows)[at]
        places, names = segment_groups(axis, axis.codes([value]))
        if names:
            out.append(segment_slice(segment_name(feature, names[int(places[0])])))
    return out


def is_sampled(tenant: str, unit: str, share: float) -> bool:
    """Whether a unit is in a sample of this share, by itself and nothing that happens to it."""
    if share >= 1.0:
        return True
    named = f"sample\x00{tenant}\x00{unit}".encode("utf-8", "replace")
    digest = hashlib.blake2b(named, digest_size=8).digest()
    return int.from_bytes(digest, "big") / _HASH < share


def weak_unit(event: Predicted | Refused) -> str:
    """What a row counts as whose client named no unit: everything of one key in one minute. Rows
    of one caller depend on each other, so each by itself would be too much evidence."""
    return f"\x00{event.key}/{math.floor(event.ts / 60.0)}"
