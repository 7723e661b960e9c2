"""What a gateway answers from: a routing table with its versions loaded."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from windvane.core.routing import ModelRoute, RoutingTable, VersionEntry
from windvane.core.sketch import FeatureSpec, FeatureType
from windvane.ports.runtime import Predictor, Runtime

_log = logging.getLogger(__name__)


class BrokenPredictor:
    """Stands where a version could not be loaded: every use fails, and the chain goes on."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def encode(self, values: Sequence[Any]) -> list[float]:
        del values
        raise self._error

    def predict(self, rows: Sequence[Sequence[float]]) -> NDArray[np.float64]:
        del rows
        raise self._error


@dataclass(frozen=True, slots=True)
class LiveModel:
    """One model, ready: its route, its predictors by version and its body's decoder."""

    route: ModelRoute
    predictors: Mapping[str, Predictor]
    decoder: msgspec.json.Decoder[Any]


@dataclass(frozen=True, slots=True)
class LiveTable:
    """An immutable snapshot; replaced whole."""

    seq: int
    models: Mapping[str, LiveModel]
    tenants: Mapping[str, str]
    loaded: Mapping[VersionEntry, Predictor]


def bring_to_life(table: RoutingTable, runtime: Runtime, held: LiveTable | None) -> LiveTable:
    """Load what is new, keep what is loaded. A version that does not load is left broken:
    its share falls back and its errors are counted, the others are not touched."""
    known = dict(held.loaded) if held else {}
    loaded: dict[VersionEntry, Predictor] = {}
    models: dict[str, LiveModel] = {}
    for name, route in table.models.items():
        schema = [spec.name for spec in route.schema]
        predictors: dict[str, Predictor] = {}
        for entry in route.versions:
            predictor = known.get(entry) or _load(entry, runtime, name, schema)
            predictors[entry.version] = predictor
            if not isinstance(predictor, BrokenPredictor):
                loaded[entry] = predictor
        kept = held.models.get(name) if held else None
        decoder = (
            kept.decoder if kept and kept.route.schema == route.schema else _decoder(route.schema)
        )
        models[name] = LiveModel(route, predictors, decoder)
    tenants = {key.digest: key.tenant for key in table.keys}
    return LiveTable(table.seq, models, tenants, loaded)


def _load(entry: VersionEntry, runtime: Runtime, model: str, schema: Sequence[str]) -> Predictor:
    try:
        predictor = runtime.load(entry.artifact, entry.manifest, schema)
        predictor.predict([predictor.encode([None] * len(schema))])  # warm up before traffic
    except Exception as error:
        _log.exception("model %s version %s did not load", model, entry.version)
        return BrokenPredictor(error)
    return predictor


def _decoder(schema: Sequence[FeatureSpec]) -> msgspec.json.Decoder[Any]:
    """The promise compiled: the fast path accepts or gives up; the slow path explains."""
    fields: list[Any] = []
    for spec in schema:
        kind = _type(spec)
        fields.append((spec.name, kind | None, None) if spec.nullable else (spec.name, kind))
    features = msgspec.defstruct("Features", fields, forbid_unknown_fields=True, kw_only=True)
    row = msgspec.defstruct(
        "Instance", [("features", features), ("unit", str, "")], forbid_unknown_fields=True
    )
    body = msgspec.defstruct("Body", [("instances", list[row])], forbid_unknown_fields=True)
    return msgspec.json.Decoder(body)


def _type(spec: FeatureSpec) -> Any:
    if spec.type is FeatureType.CATEGORY:
        return Literal[tuple(spec.known)] if spec.known else str
    kind = int if spec.type is FeatureType.INTEGER else float
    bounds: dict[str, Any] = {}
    if spec.low is not None:
        bounds["ge"] = kind(spec.low)
    if spec.high is not None:
        bounds["le"] = kind(spec.high)
    return Annotated[kind, msgspec.Meta(**bounds)] if bounds else kind
