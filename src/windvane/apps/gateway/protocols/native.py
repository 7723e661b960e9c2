"""`POST /v1/models/{model}/predict`: rows of named features, in JSON, CSV or Arrow."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

from windvane.apps.gateway.answers import (
    JSON,
    NEWEST,
    Header,
    answer_body,
    pick_version,
    rejection_body,
)
from windvane.apps.gateway.protocols import media
from windvane.apps.gateway.protocols.arrow_stream import HINT as ARROW_HINT
from windvane.apps.gateway.protocols.arrow_table import arrow, decode_arrow, encode_arrow
from windvane.apps.gateway.protocols.base import Headers, Hinting, Page, PredictCall
from windvane.apps.gateway.protocols.csv_table import decode_csv, encode_csv
from windvane.apps.gateway.protocols.tables import MAX_UNIT
from windvane.core.errors import did_you_mean
from windvane.core.routing import ApiVersion
from windvane.core.signature import MAX_INTEGER, MAX_MAGNITUDE, FeatureSpec, FeatureType, show
from windvane.core.signature.kinds import MAX_IMAGE_BYTES, MAX_TEXT
from windvane.core.signature.times import parse_time
from windvane.core.task import Contract
from windvane.inference.access import Principal
from windvane.inference.errors import BadBody, Rejection
from windvane.inference.request import Codec, InferenceResponse, Inputs
from windvane.inference.snapshot import ServedModel
from windvane.inference.validation import check_count, validate_rows

HINT = 'send {"instances": [{"features": {...}, "unit": "..."}]}'
_PREFIX, _SUFFIX = "/v1/models/", "/predict"
_FROM, _TO = len(_PREFIX), len(_SUFFIX)
_ROUTE = _PREFIX + "{model}" + _SUFFIX
_MAX_TIME = 64
_FIELDS = ("instances", "explain")
_ESCAPED = re.compile(r'["\\\x00-\x1f]')
_astuple = msgspec.structs.astuple


class NativeCodec:
    """Decodes and validates in one pass; where that fails, a slower pass says why."""

    content_type = b"application/json"

    def __init__(self, api: ApiVersion) -> None:
        self.name = f"native/{api.value}"
        self._api = api

    def decode(self, body: bytes, model: ServedModel, max_rows: int) -> Inputs:
        compiled: _Compiled = model.compile("native", _Compiled)
        if compiled.decoder is None:
            return _explain(body, model.contract, max_rows)
        try:
            given = compiled.decoder.decode(body)
            instances = given.instances
            if not 0 < len(instances) <= max_rows:
                with Hinting(HINT):
                    check_count(len(instances), max_rows)
            rows = [_astuple(row.features) for row in instances]
            if compiled.times:
                rows = [compiled.with_times(row) for row in rows]
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return _explain(body, model.contract, max_rows)
        return Inputs(rows, [row.unit for row in instances], given.explain)

    def encode(self, response: InferenceResponse) -> bytes:
        return answer_body(self._api, response)


class _Compiled:
    """The contract as a decoder that accepts or gives up; None for one that msgspec cannot
    have, for a feature's name is written with an escape in JSON."""

    def __init__(self, contract: Contract) -> None:
        escaped = any(_ESCAPED.search(name) for name in contract.names)
        self.decoder = None if escaped else make_decoder(contract.features)
        self.times = [i for i, s in enumerate(contract.features) if s.type is FeatureType.DATETIME]

    def with_times(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        held = list(row)
        for i in self.times:
            if held[i] is not None:
                held[i] = parse_time(held[i])
        return tuple(held)


class TableCodec:
    """Columns in, or columns out, or both; JSON where one of them is."""

    def __init__(self, api: ApiVersion, given: media.MediaType, wanted: str) -> None:
        self.name = f"native/{api.value}/{given.name}/{wanted}"
        self.content_type = wanted.encode()
        self._json = _CODECS[api]
        self._given = given
        self._wanted = wanted

    def decode(self, body: bytes, model: ServedModel, max_rows: int) -> Inputs:
        match self._given.name:
            case media.CSV:
                header = self._given.parameters.get("header") != "absent"
                return decode_csv(body, model.contract, max_rows, header=header)
            case media.ARROW:
                with Hinting(ARROW_HINT):
                    return decode_arrow(body, model.contract, max_rows)
            case _:
                inputs = self._json.decode(body, model, max_rows)
                if inputs.explain and self._wanted != media.JSON:
                    raise BadBody(
                        f"explanations are not written as {self._wanted}",
                        hint="ask for them with `Accept: application/json`",
                    )
                return inputs

    def encode(self, response: InferenceResponse) -> bytes:
        match self._wanted:
            case media.CSV:
                return encode_csv(response)
            case media.ARROW:
                return encode_arrow(response)
            case _:
                return self._json.encode(response)


_CODECS = {api: NativeCodec(api) for api in ApiVersion}
# What curl says of a body if nobody tells it what it is; such a form would be no JSON.
_TAKEN = (media.JSON, media.CSV, media.ARROW)
_OFFERED = (media.JSON, media.CSV, media.ARROW)
_PLAIN = (None, b"application/json")
_ANY = (None, b"*/*", b"application/json")


class NativeProtocol:
    name = "native"

    def predict_call(self, path: str) -> PredictCall | None:
        if path.startswith(_PREFIX) and path.endswith(_SUFFIX):
            return PredictCall(path[_FROM:-_TO], route=_ROUTE)
        return None

    def page(self, path: str) -> Page | None:
        return None

    def codec(self, call: PredictCall, headers: Headers, principal: Principal | None) -> Codec:
        asked = headers.get(b"windvane-version")
        if asked is not None:
            api = pick_version(asked, "")
        elif principal is not None and principal.api:
            api = pick_version(b"", principal.api)
        else:
            api = NEWEST
        if headers.get(b"content-type") in _PLAIN and headers.get(b"accept") in _ANY:
            return _CODECS[api]
        given = media.content_type(headers, _TAKEN)
        wanted = media.accepted(headers, _OFFERED)
        if given.name == media.JSON and wanted == media.JSON:
            return _CODECS[api]
        if media.ARROW in (given.name, wanted):
            arrow()  # or there is no answer to promise
        return TableCodec(api, given, wanted)

    def answer_headers(self, codec: Codec, response: InferenceResponse) -> list[Header]:
        if response.content_type == NativeCodec.content_type:
            return [JSON]
        request_id = response.id.encode()
        return [(b"content-type", response.content_type), (b"windvane-request-id", request_id)]

    def rejection(self, error: Rejection, request_id: str) -> tuple[Header, bytes]:
        return JSON, rejection_body(error, request_id)


def make_decoder(schema: Sequence[FeatureSpec]) -> msgspec.json.Decoder[Any]:
    """The contract compiled: the fast path accepts or gives up; the slow path explains."""
    fields: list[Any] = []
    names: dict[str, str] = {}
    for i, spec in enumerate(schema):
        kind = _type(spec)
        # A feature may be called what no attribute can be, such as `mean radius`.
        names[f"f{i}"] = spec.name
        nullable = spec.nullable or spec.optional
        fields.append((f"f{i}", kind | None, None) if nullable else (f"f{i}", kind))
    features = msgspec.defstruct(
        "Features", fields, rename=names, forbid_unknown_fields=True, kw_only=True
    )
    unit = Annotated[str, msgspec.Meta(max_length=MAX_UNIT)]
    row = msgspec.defstruct(
        "Instance", [("features", features), ("unit", unit, "")], forbid_unknown_fields=True
    )
    body = msgspec.defstruct(
        "Body", [("instances", list[row]), ("explain", bool, False)], forbid_unknown_fields=True
    )
    return msgspec.json.Decoder(body)


def _type(spec: FeatureSpec) -> Any:
    low = -math.inf if spec.low is None else spec.low
    high = math.inf if spec.high is None else spec.high
    match spec.type:
        case FeatureType.CATEGORY:
            if spec.known:
                return Literal[tuple(spec.known)]
            return Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
        case FeatureType.TEXT:
            most = MAX_TEXT if spec.high is None else int(spec.high)
            return Annotated[str, msgspec.Meta(max_length=most)]
        case FeatureType.BOOLEAN:
            return bool
        case FeatureType.DATETIME:
            # Read by what the slow path reads it with: another reader rounds otherwise.
            return Annotated[str, msgspec.Meta(max_length=_MAX_TIME)]
        case FeatureType.VECTOR:
            length = msgspec.Meta(min_length=spec.length, max_length=spec.length)
            item = Annotated[float, msgspec.Meta(ge=-MAX_MAGNITUDE, le=MAX_MAGNITUDE)]
            return Annotated[list[item], length]
        case FeatureType.IMAGE:
            most = MAX_IMAGE_BYTES if spec.high is None else int(spec.high)
            return Annotated[bytes, msgspec.Meta(max_length=most)]
        case FeatureType.INTEGER:
            least = math.ceil(min(max(low, -MAX_INTEGER), MAX_INTEGER + 1))
            most = math.floor(max(min(high, MAX_INTEGER), -MAX_INTEGER - 1))
            return Annotated[int, msgspec.Meta(ge=least, le=most)]
        case FeatureType.NUMBER:
            bounds: dict[str, Any] = {"ge": low} if math.isfinite(low) else {}
            if math.isfinite(high):
                bounds["le"] = high
            return Annotated[float, msgspec.Meta(**bounds)] if bounds else float


def _explain(body: bytes, contract: Contract, max_rows: int) -> Inputs:
    """Rows that the fast path gave up on: what is wrong with them, or that nothing is."""
    with Hinting(HINT):
        return _read(body, contract, max_rows)


def _read(body: bytes, contract: Contract, max_rows: int) -> Inputs:
    try:
        given = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadBody(f"the body is not JSON: {str(error)[:200]}") from error
    if not isinstance(given, dict) or not isinstance(given.get("instances"), list):
        raise BadBody("the body must be an object with a list `instances`")
    for name in given:
        if name not in _FIELDS:
            raise BadBody(f"unknown field {name[:80]!r}", hint=did_you_mean(name, _FIELDS))
    explain = given.get("explain", False)
    if not isinstance(explain, bool):
        raise BadBody(f"explain: {show(explain)} is neither true nor false")
    instances: list[Any] = given["instances"]
    check_count(len(instances), max_rows)
    for i, row in enumerate(instances):
        if not isinstance(row, dict) or not isinstance(row.get("features"), dict):
            raise BadBody(f"instances[{i}] must be an object with an object `features`")
        for name in row.keys() - {"features", "unit"}:
            hint = did_you_mean(name, ["features", "unit"])
            raise BadBody(f"instances[{i}] has an unknown field {name[:80]!r}", hint=hint)
        unit = row.get("unit", "")
        if not isinstance(unit, str) or len(unit) > MAX_UNIT:
            raise BadBody(f"instances[{i}].unit must be a string of at most {MAX_UNIT} characters")
    rows = validate_rows(contract, [row["features"] for row in instances])
    return Inputs(rows, [row.get("unit", "") for row in instances], explain)
