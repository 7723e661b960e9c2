"""The requests that a call is made of: what is sent, and how an answer is read."""

from __future__ import annotations

import gzip
import math
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar, cast
from urllib.parse import quote

import msgspec

from windvane.client.errors import ApiError, BadArgument, Problem
from windvane.client.messages import (
    EventsAnswer,
    Model,
    ModelsAnswer,
    PredictAnswer,
    Predictions,
    SentEvents,
)
from windvane.client.rows import Rows, column, read_rows, text

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode
API_VERSION = "2026-11-28"
AUTO: Final = "auto"
_MAX_EXPLAINED = 32  # rows of a request that a gateway explains
_MAX_CONTRIBUTIONS = 20_000  # of rows times features that it explains in one
_MAX_BYTES = 900_000  # under a gateway's default of 1 MiB


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request. ``safe``: it may be sent again without knowing what became of it."""

    method: str
    path: str
    read: Callable[[bytes, Mapping[str, str]], T]
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    safe: bool = True
    deadline_is_asked: bool = False


def predict_calls(
    model: str,
    rows: Rows,
    units: Any,
    idempotency_key: str | None,
    asked: bool,
    max_rows: int,
    *,
    explain: bool = False,
) -> tuple[list[Call[tuple[PredictAnswer, bool]]], Any]:
    """As many requests as the rows need, and the index of their DataFrame."""
    given, index = read_rows(rows)
    if not given:
        raise BadArgument("there are no rows to predict")
    instances: list[dict[str, Any]] = [{"features": row} for row in given]
    if units is not None:
        for instance, unit in zip(instances, column(units, len(given), "units"), strict=True):
            if unit is not None:
                instance["unit"] = _text(unit)
    path = f"/v1/models/{_quoted(model)}/predict"
    if explain:
        widest = max(len(row) for row in given)
        max_rows = min(max_rows, _MAX_EXPLAINED, max(1, _MAX_CONTRIBUTIONS // max(1, widest)))
    parts = list(_parts(instances, max_rows))
    tail = b',"explain":true}' if explain else b"}"
    key = secrets.token_hex(16) if idempotency_key == AUTO else idempotency_key
    if key is not None and not _is_key(key):
        raise BadArgument("an idempotency key is 1 to 200 printable ASCII characters")
    calls: list[Call[tuple[PredictAnswer, bool]]] = []
    for i, part in enumerate(parts):
        headers: dict[str, str] = {}
        if key is not None:
            headers["idempotency-key"] = key if len(parts) == 1 else f"{key}/{i}"
        body = b'{"instances":[%b]%b' % (b",".join(part), tail)
        calls.append(
            Call("POST", path, _Predicted(len(part)), body, headers, key is not None, asked)
        )
    return calls, index


def _is_key(given: Any) -> bool:
    return (
        isinstance(given, str) and 0 < len(given) <= 200
        and given.isascii() and given.isprintable()
    )  # fmt: skip


def _quoted(model: Any) -> str:
    """As a part of a path. Raises BadArgument for what is no name, or would lead elsewhere:
    whoever reads a path takes `..` out of it, and it cannot be quoted."""
    if not isinstance(model, str) or model in ("", ".", ".."):
        kind = repr(model) if isinstance(model, str) else f"a {type(model).__qualname__}"
        raise BadArgument(f"{kind} is no name of a model")
    return quote(text(model, "the model's name"), safe="")


class _Predicted:
    """Reads an answer to ``rows`` rows."""

    def __init__(self, rows: int) -> None:
        self._rows = rows

    def __call__(self, body: bytes, headers: Mapping[str, str]) -> tuple[PredictAnswer, bool]:
        answer = _decode(body, PredictAnswer)
        if len(answer.predictions) != self._rows:
            found = len(answer.predictions)
            raise ApiError(f"{found:,} predictions came for {self._rows:,} rows")
        return answer, headers.get("idempotency-replayed") == "true"


def joined(model: str, answers: Sequence[tuple[PredictAnswer, bool]], index: Any) -> Predictions:
    replayed = all(again for _, again in answers)
    return Predictions(model, [answer for answer, _ in answers], replayed=replayed, index=index)


def outcome_calls(model: str, outcomes: Any, values: Any, max_rows: int) -> list[Call[int]]:
    """Those without a value (null) are left out: their truth is not known yet."""
    _quoted(model)
    if isinstance(outcomes, Predictions):
        if values is None:
            raise BadArgument("predictions need their values: send_outcomes(model, predictions, v)")
        found = column(values, len(outcomes), "values")
        rows: list[dict[str, Any]] = [
            {"request_id": name, "row": place, "value": value}
            for name, place, value in zip(outcomes.request_ids, outcomes.places, found, strict=True)
        ]
    elif values is not None:
        raise BadArgument("values go with predictions; other outcomes have their own `value`")
    else:
        rows, _ = read_rows(outcomes)
    known: list[dict[str, Any]] = []
    for i, row in enumerate(rows):
        extra = row.keys() - {"request_id", "id", "row", "value"}
        if extra or "value" not in row:
            message = f"has an unknown field {min(extra)!r}" if extra else "has no value"
            raise BadArgument(
                f"outcome {i} {message}", hint="`request_id` or `id`, `value`, and `row` if not 0"
            )
        if row["value"] is not None:
            known.append({name: value for name, value in row.items() if value is not None})
    head = b'{"model":%b,"outcomes":[' % _encode(model)
    return [
        Call("POST", "/v1/outcomes", _accepted, head + b",".join(part) + b"]}")
        for part in _parts(known, max_rows)
    ]


def _accepted(body: bytes, headers: Mapping[str, str]) -> int:
    del headers
    return _decode(body, EventsAnswer).accepted


def event_calls(model: str, events: Rows, max_rows: int) -> list[Call[SentEvents]]:
    rows, _ = read_rows(events)
    path = f"/v1/models/{_quoted(model)}/events"
    return [
        Call("POST", path, _sent, b'{"events":[%b]}' % b",".join(part))
        for part in _parts(rows, max_rows)
    ]


def _sent(body: bytes, headers: Mapping[str, str]) -> SentEvents:
    del headers
    found = _decode(body, EventsAnswer)
    return SentEvents(found.accepted, found.request_ids)


def all_sent(parts: Sequence[SentEvents]) -> SentEvents:
    ids = [name for part in parts for name in part.request_ids]
    return SentEvents(sum(part.accepted for part in parts), ids)


def models_call() -> Call[list[Model]]:
    return Call("GET", "/v1/models", _models)


def _models(body: bytes, headers: Mapping[str, str]) -> list[Model]:
    del headers
    return _decode(body, ModelsAnswer).models


def events_of(
    frame: Any, *, id: str,  # noqa: A002 - as the event calls it
    features: Sequence[str], outputs: str | Mapping[str, str],
    version: str | None = None, unit: str | None = None, time: str | None = None,
    latency_ms: str | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """A table of predictions as events, for `send_events`.

    Each argument names a column: ``outputs`` the one with the value, or for each output of the
    model's task its own. Raises BadArgument.
    """
    single = {"version": version, "unit": unit, "time": time, "latency_ms": latency_ms}
    wanted = {name: named for name, named in single.items() if named is not None}
    by_output = {outputs: outputs} if isinstance(outputs, str) else dict(outputs)
    columns = list(dict.fromkeys([id, *features, *by_output.values(), *wanted.values()]))
    if hasattr(frame, "iloc"):  # a DataFrame may have others that cannot be sent
        frame = frame[[name for name in columns if name in frame.columns]]
    rows, _ = read_rows(frame)
    out: list[dict[str, Any]] = []
    for i, row in enumerate(rows):
        lacking = next((name for name in columns if name not in row), None)
        if lacking is not None:
            known = ", ".join(map(repr, list(row)[:12]))
            raise BadArgument(f"row {i} has no column {lacking!r}", hint=f"it has {known}")
        event: dict[str, Any] = {
            "id": _text(row[id]),
            "features": {name: row[name] for name in features},
            "outputs": (
                row[outputs]
                if isinstance(outputs, str)
                else {name: row[named] for name, named in by_output.items()}
            ),
        }
        for name, named in wanted.items():
            if row[named] is not None:
                value = row[named]
                event[name] = _text(value) if name in ("version", "unit") else value
        out.append(event)
    return out


def _text(value: Any) -> str:
    """Ids and versions are texts; a column of them may have been read as numbers."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else str(value)


def _parts(items: Sequence[Any], max_rows: int) -> Iterator[list[bytes]]:
    """Encoded, in requests of at most ``max_rows`` and about ``_MAX_BYTES``."""
    part: list[bytes] = []
    size = 0
    for item in items:
        encoded = _encode(item)
        if part and (len(part) >= max_rows or size + len(encoded) > _MAX_BYTES):
            yield part
            part, size = [], 0
        part.append(encoded)
        size += len(encoded) + 1
    if part:
        yield part


def compressed(body: bytes, above: int | None) -> tuple[bytes, dict[str, str]]:
    """The body as it is sent, and its headers."""
    if above is None or len(body) <= above:
        return body, {}
    return gzip.compress(body, 5, mtime=0), {"content-encoding": "gzip"}


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """What a gateway, or whoever stands before it, says."""
    wait_s = _seconds(headers.get("retry-after", ""))
    try:
        decoded = cast("dict[str, Any]", msgspec.json.decode(body))
        given = msgspec.convert(decoded["error"], _ErrorBody)
        name = decoded.get("request_id", "")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError, KeyError):
        shown = body[:200].decode("utf-8", "replace")
        hint = "is this a gateway's address?"
        return ApiError(f"HTTP {status}: {shown}", status=status, hint=hint, retry_after_s=wait_s)
    return ApiError(
        given.message, code=given.code, status=status, hint=given.hint, problems=given.problems,
        request_id=str(name), retry_after_s=wait_s,
    )  # fmt: skip


class _ErrorBody(msgspec.Struct):
    code: str
    message: str
    hint: str = ""
    problems: list[Problem] = []


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) and value > 0.0 else 0.0


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(
            f"the answer is not as this client knows it: {str(error)[:200]}",
            hint="is this a gateway's address, and not newer than the client?",
        ) from error
