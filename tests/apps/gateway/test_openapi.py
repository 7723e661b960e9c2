"""The document says all that the gateway does, and it is an OpenAPI 3.1 document."""

from __future__ import annotations

import ast
import gzip
import inspect
import json
import re
import textwrap
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from inference.harness import ACME, MODEL, Harness, body, features, key, route, run

from windvane.apps.gateway import (
    answers,
    encodings,
    head_values,
    http_app,
    http_protocol,
    imported_events,
    outcomes,
)
from windvane.apps.gateway.http_app import PROTOCOLS, HttpApp
from windvane.apps.gateway.openapi import document
from windvane.apps.gateway.protocols import native
from windvane.apps.gateway.statuses import STATUSES, BodyTooSlow
from windvane.core.routing import TenantLimit
from windvane.inference import access, engine, events, execution, idempotency, imported, validation
from windvane.inference.engine import Engine

DOCUMENT = json.loads(document())
OPERATIONS = {
    (method, path): operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
PREDICT, OUTCOMES = ("post", "/v1/models/{model}/predict"), ("post", "/v1/outcomes")
EVENTS = ("post", "/v1/models/{model}/events")


def test_it_is_an_openapi_document() -> None:
    schemathesis.openapi.from_dict(DOCUMENT).validate()
    assert DOCUMENT["openapi"].startswith("3.1")
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)
    ids = [o["operationId"] for o in OPERATIONS.values()]
    assert len(set(ids)) == len(ids)


def test_every_reference_leads_somewhere() -> None:
    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                found: Any = DOCUMENT
                for part in node["$ref"].removeprefix("#/").split("/"):
                    found = found[part]
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(DOCUMENT)


def test_every_route_of_the_gateway_is_in_it() -> None:
    """Read from the routing itself: each path that is compared with, and each plain one."""
    source = textwrap.dedent(inspect.getsource(HttpApp._other))
    compared = {
        node.comparators[0].value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Compare)
        and isinstance(node.left, ast.Name)
        and node.left.id == "path"
        and isinstance(node.comparators[0], ast.Constant)
    }
    assert compared

    async def story(harness: Harness) -> None:
        plain = set(harness.app._plain)
        events = f"{http_app._MODELS}{{model}}{http_app._EVENTS}"
        assert compared | plain | {events} < set(DOCUMENT["paths"])
        for path in set(DOCUMENT["paths"]) - compared - plain - {events}:
            called = path.replace("{model}", "late").replace("{version}", "1")
            reads = any(protocol.page(called) for protocol in PROTOCOLS)
            predicts = any(protocol.predict_call(called) for protocol in PROTOCOLS)
            methods = set(DOCUMENT["paths"][path])
            assert methods == ({"get"} if reads else set()) | ({"post"} if predicts else set()), (
                path
            )

    run(story)


# Whatever a route's code, and what that calls, may raise.
_HEAD = (access, answers.pick_version, HttpApp.reject, Engine.failed)
RAISED_BY = {
    PREDICT: (
        *_HEAD, engine, events, execution, idempotency, validation, encodings, native,
        HttpApp._predict, head_values.asked_s, head_values.idempotency_key,
    ),
    OUTCOMES: (
        *_HEAD, outcomes, encodings, Engine.authenticate, Engine.limit,
        events.EventWriter.keep,
    ),
    EVENTS: (
        *_HEAD, imported, imported_events, validation, encodings, Engine.authenticate,
        Engine.limit, events.EventWriter.keep,
    ),
    ("get", "/v1/models"): (*_HEAD, Engine.authenticate),
}  # fmt: skip
NOT_HERE = {("get", "/v1/models"): {"NoSuchModel"}}


@pytest.mark.parametrize("operation", RAISED_BY)
def test_every_refusal_of_a_route_is_listed_under_it(operation: tuple[str, str]) -> None:
    source = "\n".join(inspect.getsource(part) for part in RAISED_BY[operation])
    raised = {
        kind for kind in STATUSES if re.search(rf"\b{kind.__name__}\(|= {kind.__name__}\b", source)
    }
    raised = {k for k in raised if k.__name__ not in NOT_HERE.get(operation, ())}
    assert len(raised) >= 4
    if operation[0] == "post":
        raised.add(BodyTooSlow)  # by the transport
        assert re.search(r"\b408\b", inspect.getsource(http_protocol))
    listed = {int(status) for status in OPERATIONS[operation]["responses"]}
    missing = {k.__name__: STATUSES[k] for k in raised if STATUSES[k] not in listed}
    assert not missing
    assert 405 in listed


def test_no_route_lists_a_status_that_nothing_has() -> None:
    known = {*STATUSES.values(), 200, 202}
    for operation in OPERATIONS.values():
        assert {int(s) for s in operation["responses"]} <= known


async def _all_answers(harness: Harness) -> dict[tuple[str, str], list[Any]]:
    """Answers of every status that can be had here, by operation."""
    plain = body(1.0)
    told = json.dumps({"model": MODEL, "outcomes": [{"request_id": "r", "value": 1}]}).encode()
    limits = [TenantLimit("slow", rate=1)]
    only = key("only", "acme", "read")
    seen: dict[tuple[str, str], list[Any]] = {name: [] for name in OPERATIONS}

    async def ask(operation: tuple[str, str], given: bytes = b"", **more: Any) -> None:
        method, path = operation
        path = path.replace("{model}", more.pop("model", MODEL))
        method = more.pop("method", method.upper())
        seen[operation].append(await harness.call(method, path, given, **more))

    await ask(PREDICT, plain)  # not ready
    await ask(("get", "/readyz"))
    await harness.publish(keys=[ACME, only, key("slow", "slow")], limits=limits)
    for operation in OPERATIONS:
        await ask(operation, method="PATCH")
    for operation, given in ((PREDICT, plain), (OUTCOMES, told), (("get", "/v1/models"), b"")):
        await ask(operation, given)
        await ask(operation, given, auth="")
        await ask(operation, given, auth="Bearer wv_slow")
        await ask(operation, given, auth="Bearer wv_slow")
        await ask(operation, given, auth="Bearer wv_only")
        await ask(operation, given, headers={"windvane-version": "x"})
    await ask(PREDICT, plain, model="none")
    await ask(PREDICT, b"{")
    await ask(PREDICT, body(features(x=-1.0), features(n="a")))  # type: ignore[arg-type]
    await ask(PREDICT, plain, headers={"x-request-deadline": "x"})
    bomb = gzip.compress(b" " * (1 << 20))
    for operation in (PREDICT, OUTCOMES):
        await ask(operation, bomb, headers={"content-encoding": "gzip"})
        await ask(operation, plain, headers={"content-encoding": "br"})
    await ask(OUTCOMES, b"{")
    for operation in (("get", "/healthz"), ("get", "/readyz"), ("get", "/openapi.json")):
        await ask(operation, auth="")
    await ask(OUTCOMES, told.replace(b'"value": 1', b'"value": "no number"'))
    harness.predictor().fails = lambda _row: True
    await ask(PREDICT, plain)
    harness.spool.full = True
    await ask(OUTCOMES, told)
    return seen


def test_every_answer_fits_its_schema() -> None:
    async def story(harness: Harness) -> None:
        seen: set[int] = set()
        for operation, given in (await _all_answers(harness)).items():
            assert given
            for answer in given:
                listed = OPERATIONS[operation]["responses"][str(answer.status)]
                schema = listed["content"]["application/json"]["schema"]
                whole = {**schema, "components": DOCUMENT["components"]}
                jsonschema_rs.validate(whole, answer.json)
                assert answer.headers["content-type"] == "application/json"
                seen.add(answer.status)
        assert seen == {200, 202, 400, 401, 403, 404, 405, 413, 415, 422, 429, 503}

    run(story)


def test_the_served_document_is_this_one() -> None:
    async def story(harness: Harness) -> None:
        served = await harness.call("GET", "/openapi.json", auth="")
        assert served.json == DOCUMENT

    run(story)


def test_a_body_that_fits_the_schema_of_a_route_is_what_it_takes() -> None:
    schema = OPERATIONS[PREDICT]["requestBody"]["content"]["application/json"]["schema"]
    whole = {**schema, "components": DOCUMENT["components"]}
    jsonschema_rs.validate(whole, json.loads(body(1.0, units=["u"])))
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.validate(whole, {"instances": [{"features": {}, "id": 1}]})
    assert route().model == MODEL
