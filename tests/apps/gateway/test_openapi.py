"""The document says all that the gateway does, and it is an OpenAPI 3.1 document."""

from __future__ import annotations

import ast
import inspect
import json
import re
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from inference.harness import MODEL, Harness, body, features, key, route, run

from windvane.apps.gateway import access, app, bodies, conform, execute, outcomes, refusals, steps
from windvane.apps.gateway.openapi import document
from windvane.core.routing import TenantLimit

DOCUMENT = json.loads(document())
OPERATIONS = {
    (method, path): operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
PREDICT, OUTCOMES = ("post", "/v1/models/{model}/predict"), ("post", "/v1/outcomes")


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
    """Read from the routing itself: each path that is compared with, each head and tail."""
    source = inspect.getsource(app.Gateway._other)
    compared = {
        node.comparators[0].value
        for node in ast.walk(ast.parse(inspect.cleandoc(source)))
        if isinstance(node, ast.Compare)
        and isinstance(node.left, ast.Name)
        and node.left.id == "path"
        and isinstance(node.comparators[0], ast.Constant)
    }
    assert compared
    templated = f"{app._PREDICT_HEAD}{{model}}{app._PREDICT_TAIL}"
    assert compared | {templated} == set(DOCUMENT["paths"])


REFUSALS = {
    kind
    for kind in vars(refusals).values()
    if inspect.isclass(kind) and issubclass(kind, refusals.Rejection) and "code" in vars(kind)
}
# Whatever a route's code, and what that calls, may raise.
RAISED_BY = {
    PREDICT: (steps, access, bodies, conform, execute, app.Gateway._predict),
    OUTCOMES: (outcomes, access, bodies, steps.authenticate, steps.limit),
    ("get", "/v1/models"): (access, steps.authenticate),
}
NOT_HERE = {
    OUTCOMES: {"NoAnswer", "DeadlinePassed", "SchemaViolation"},
    ("get", "/v1/models"): {"NoSuchModel"},
}


@pytest.mark.parametrize("operation", RAISED_BY)
def test_every_refusal_of_a_route_is_listed_under_it(operation: tuple[str, str]) -> None:
    source = "\n".join(inspect.getsource(part) for part in RAISED_BY[operation])
    raised = {k for k in REFUSALS if re.search(rf"\b{k.__name__}\(|= {k.__name__}\b", source)}
    raised = {k for k in raised if k.__name__ not in NOT_HERE.get(operation, ())}
    listed = {int(status) for status in OPERATIONS[operation]["responses"]}
    missing = {k.__name__: k.status for k in raised if k.status not in listed}
    assert not missing
    assert 405 in listed


def test_no_route_lists_a_status_that_nothing_has() -> None:
    known = {k.status for k in REFUSALS} | {200, 202}
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
    from inference.harness import ACME

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
    await ask(PREDICT, b" " * (1 << 17))
    await ask(OUTCOMES, b"{")
    for operation in (("get", "/healthz"), ("get", "/readyz"), ("get", "/openapi.json")):
        await ask(operation, auth="")
    harness.predictor().fails = lambda _row: True
    await ask(PREDICT, plain)
    harness.spool.full = True
    await ask(OUTCOMES, told)
    return seen


def test_every_answer_fits_its_schema() -> None:
    async def story(harness: Harness) -> None:
        statuses: set[int] = set()
        for operation, answers in (await _all_answers(harness)).items():
            assert answers
            for answer in answers:
                listed = OPERATIONS[operation]["responses"][str(answer.status)]
                schema = listed["content"]["application/json"]["schema"]
                whole = {**schema, "components": DOCUMENT["components"]}
                jsonschema_rs.validate(whole, answer.json)
                assert answer.headers["content-type"] == "application/json"
                statuses.add(answer.status)
        assert statuses == {200, 202, 400, 401, 403, 404, 405, 413, 422, 429, 503}

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
