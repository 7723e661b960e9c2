"""What a gateway answers from: a routing table with its versions' places on the shelf."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from windvane.apps.gateway.shelf import Shelf, Slot
from windvane.core.conformance import MAX_INTEGER, plain_row
from windvane.core.routing import KeyEntry, ModelRoute, RoutingTable, TenantLimit
from windvane.core.sketch import FeatureSpec, FeatureType

Schema = tuple[FeatureSpec, ...]


@dataclass(frozen=True, slots=True)
class LiveModel:
    """One model, ready: its route, its versions' slots and its body's decoder."""

    route: ModelRoute
    slots: Mapping[str, Slot]
    decoder: msgspec.json.Decoder[Any]


@dataclass(frozen=True, slots=True)
class LiveTable:
    """An immutable snapshot; replaced whole."""

    seq: int
    models: Mapping[str, LiveModel]
    keys: Mapping[str, KeyEntry]
    limits: tuple[TenantLimit, ...]

    @property
    def slots(self) -> list[Slot]:
        """Champions first, for they answer most."""
        first = [m.slots[m.route.champion] for m in self.models.values()]
        rest = [s for m in self.models.values() for s in m.slots.values()]
        return list(dict.fromkeys([*first, *rest]))


def bring_to_life(table: RoutingTable, shelf: Shelf, held: LiveTable | None) -> LiveTable:
    """The snapshot of ``table``; what is on the shelf already keeps its place, its circuit
    and what it has learnt about its speed."""
    decoders = {m.route.schema: m.decoder for m in held.models.values()} if held else {}
    models: dict[str, LiveModel] = {}
    for name, route in table.models.items():
        names = tuple(spec.name for spec in route.schema)
        row = plain_row(route.schema)
        slots = {entry.version: shelf.slot(name, entry, names, row) for entry in route.versions}
        decoder = decoders.get(route.schema)
        if decoder is None:
            decoder = decoders[route.schema] = make_decoder(route.schema)
        models[name] = LiveModel(route, slots, decoder)
    return LiveTable(table.seq, models, {key.digest: key for key in table.keys}, table.limits)


def make_decoder(schema: Sequence[FeatureSpec]) -> msgspec.json.Decoder[Any]:
    """The promise compiled: the fast path accepts or gives up; the slow path explains."""
    fields: list[Any] = []
    names: dict[str, str] = {}
    for i, spec in enumerate(schema):
        kind = _type(spec)
        # A feature may be called what no attribute can be, such as `order.distance`.
        names[f"f{i}"] = spec.name
        fields.append((f"f{i}", kind | None, None) if spec.nullable else (f"f{i}", kind))
    features = msgspec.defstruct(
        "Features", fields, rename=names, forbid_unknown_fields=True, kw_only=True
    )
    row = msgspec.defstruct(
        "Instance", [("features", features), ("unit", str, "")], forbid_unknown_fields=True
    )
    body = msgspec.defstruct("Body", [("instances", list[row])], forbid_unknown_fields=True)
    return msgspec.json.Decoder(body)


def _type(spec: FeatureSpec) -> Any:
    if spec.type is FeatureType.CATEGORY:
        return Literal[tuple(spec.known)] if spec.known else str
    low = -math.inf if spec.low is None else spec.low
    high = math.inf if spec.high is None else spec.high
    if spec.type is FeatureType.INTEGER:
        least = math.ceil(min(max(low, -MAX_INTEGER), MAX_INTEGER + 1))
        most = math.floor(max(min(high, MAX_INTEGER), -MAX_INTEGER - 1))
        return Annotated[int, msgspec.Meta(ge=least, le=most)]
    bounds: dict[str, Any] = {"ge": low} if math.isfinite(low) else {}
    if math.isfinite(high):
        bounds["le"] = high
    return Annotated[float, msgspec.Meta(**bounds)] if bounds else float
