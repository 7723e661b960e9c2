"""Windvane's own JSON: rows in, answers by API version out, rejections with their headers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from windvane.apps.gateway.statuses import UnknownApiVersion, WrongMethod, status_of
from windvane.core.admission import Limit, RateLimitDecision
from windvane.core.errors import did_you_mean
from windvane.core.explanation import Explanation
from windvane.core.routing import ApiVersion
from windvane.inference.errors import RateLimited, Rejection, SchemaViolation
from windvane.inference.explaining import Explained
from windvane.inference.request import InferenceResponse, Route

_encode = msgspec.json.Encoder().encode
_NO_ID = b'""}'
_PROBLEMS_IN_A_LINE = 5
Header = tuple[bytes, bytes]
JSON: Header = (b"content-type", b"application/json")


NEWEST = list(ApiVersion)[-1]
VERSION_HEADERS: dict[ApiVersion, Header] = {
    version: (b"windvane-version", version.value.encode()) for version in ApiVersion
}
_BY_BYTES = {version.value.encode(): version for version in ApiVersion}


def pick_version(asked: bytes, pinned: str) -> ApiVersion:
    """The version named by the request, else by the key, else the newest.

    Raises UnknownApiVersion.
    """
    if not asked:
        return _BY_BYTES.get(pinned.encode(), NEWEST)
    found = _BY_BYTES.get(asked)
    if found is None:
        word = asked[:32].decode("latin-1")
        known = [version.value for version in ApiVersion]
        raise UnknownApiVersion(
            f"Windvane-Version {word!r} is none of {', '.join(known)}",
            hint=did_you_mean(word, known),
        )
    return found


class Prediction(msgspec.Struct, frozen=True):
    """One row's answer: the value, who gave it, on which arm, and what was odd."""

    value: Any
    version: str
    arm: str
    flags: Sequence[str]


class PredictionWithWhy(Prediction, frozen=True):
    """... and in words why this version answered; empty where it is the one that was routed."""

    why: str = ""


class PredictionWithOutputs(PredictionWithWhy, frozen=True):
    """... and every output of the model's task by its name."""

    outputs: dict[str, Any] = {}


class Unexplained(msgspec.Struct, frozen=True):
    """Why a prediction that was asked for its explanation has none."""

    code: str
    message: str
    hint: str


class ExplainedPrediction(PredictionWithOutputs, frozen=True):
    """... and, where it was asked for, the explanation, or null and why there is none."""

    explanation: Explanation | None = None
    unexplained: Unexplained | None = None


class Answer(msgspec.Struct, frozen=True):
    """``request_id`` is what outcomes refer to."""

    request_id: str
    model: str
    predictions: Sequence[Any]


class Problem(msgspec.Struct, frozen=True):
    """One violation of the contract: which row and field, the stable code and both sides."""

    row: int
    code: str
    field: str
    message: str


class Refusal(msgspec.Struct, frozen=True):
    """Why there is no answer, what to do, and where the reference says more."""

    code: str
    message: str
    hint: str
    docs: str


class RefusalWithProblems(Refusal, frozen=True):
    problems: list[Problem] = []


class Refused(msgspec.Struct, frozen=True):
    error: Refusal
    request_id: str


def answer_body(api: ApiVersion, response: InferenceResponse) -> bytes:
    task = response.served.task
    rows = zip(response.routes, response.outputs, strict=True)
    predictions: list[Prediction]
    if api is ApiVersion.FIRST:
        predictions = [Prediction(task.value(out), r.answered, r.arm, r.flags) for r, out in rows]
    elif api is ApiVersion.WITH_WHY:
        predictions = [
            PredictionWithWhy(
                task.value(out), r.answered, r.arm, r.flags, _why(r) if r.flags else ""
            )
            for r, out in rows
        ]
    else:
        predictions = [
            PredictionWithOutputs(
                task.value(out), r.answered, r.arm, r.flags, _why(r) if r.flags else "",
                task.named(out),
            )
            for r, out in rows
        ]  # fmt: skip
    if response.explanations:
        explained = list(map(_explained, predictions, response.explanations))
        return _encode(Answer(response.id, response.model, explained))
    return _encode(Answer(response.id, response.model, predictions))


def _explained(prediction: Prediction, explained: Explained) -> dict[str, Any]:
    """A prediction of any version with its explanation, or with why there is none."""
    fields = msgspec.structs.asdict(prediction)
    if isinstance(explained, Explanation):
        return {**fields, "explanation": explained}
    why = Unexplained(explained.code, explained.message, explained.advice)
    return {**fields, "explanation": None, "unexplained": why}


def rejection_body(error: Rejection, request_id: str) -> bytes:
    if isinstance(error, SchemaViolation):
        problems = [Problem(row, v.code, v.field, v.message) for row, v in error.violations]
        body: Refusal = RefusalWithProblems(
            error.code, error.message, error.advice, error.docs, problems
        )
    else:
        body = Refusal(error.code, error.message, error.advice, error.docs)
    return _encode(Refused(body, request_id))


def rejection_text(error: Rejection) -> str:
    """In one line, for protocols whose errors are a text: the code, what is wrong (of several
    problems the first few), the hint."""
    message = error.message
    if isinstance(error, SchemaViolation):
        shown = [f"row {row}: {v.message}" for row, v in error.violations[:_PROBLEMS_IN_A_LINE]]
        rest = len(error.violations) - len(shown)
        message = "; ".join(shown) + (f"; and {rest} more" if rest else "")
    hint = f" ({error.advice})" if error.advice else ""
    return f"{error.code}: {message}{hint}"


def rejection_template(error: Rejection) -> bytes:
    """The body up to the request's id, for ``fill_template``."""
    return rejection_body(error, "").removesuffix(_NO_ID)


def fill_template(template: bytes, request_id: str) -> bytes:
    return b"%b%b}" % (template, _encode(request_id))


def rejection_headers(error: Rejection) -> list[Header]:
    """Retry-After where waiting helps, limits where one was met, and what 401 and 405 owe."""
    out: list[Header] = []
    if error.retry_after_s > 0.0:
        out.append((b"retry-after", str(max(1, math.ceil(error.retry_after_s))).encode()))
    if isinstance(error, RateLimited):
        out += limit_headers(error.decision)
    if status_of(error) == 401:
        out.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, WrongMethod):
        out.append((b"allow", error.allowed.encode()))
    return out


def limit_headers(decision: RateLimitDecision) -> list[Header]:
    """RateLimit and RateLimit-Policy of the limit with least left.

    Source: draft-ietf-httpapi-ratelimit-headers, sections 3 and 4.
    """
    limit = decision.limit
    if limit is None or not limit.rate:
        return []
    name = _limit_name(limit)
    policy = f'"{name}";q={limit.rate};w={max(1, math.ceil(limit.per_s))}'
    state = f'"{name}";r={decision.remaining};t={max(0, math.ceil(decision.reset_s))}'
    return [(b"ratelimit-policy", policy.encode()), (b"ratelimit", state.encode())]


def _limit_name(limit: Limit) -> str:
    return "tenant-model" if "/" in limit.name else "tenant"


def _why(route: Route) -> str:
    flags = route.flags
    if "cascaded" in flags:
        return f"version {route.routed} was unsure; {route.answered} answered in its place"
    if "failed" in flags:
        cause = flags[flags.index("failed") + 1]
        tried = [f.removeprefix("failed:") for f in flags if f.startswith("failed:")]
        also = f", and so did {', '.join(tried)}" if tried else ""
        how = {"rule": "the rule answered", "constant": "the constant answered"}
        by = next((how[f] for f in flags if f in how), f"version {route.answered} answered")
        return f"version {route.routed} failed ({cause}){also}; {by}"
    if "lacks_feature" in flags:
        return f"version {route.answered} answered, for the row lacks a feature of the other one"
    if "feature_null" in flags:
        return "the row lacks a feature that the version needs, which was taken for null"
    if "stand_in" in flags:
        return f"version {route.answered} stands in for the champion"
    return ""


def to_json(body: Any) -> bytes:
    return _encode(body)
