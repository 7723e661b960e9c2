"""Each protocol's paths: in the OpenAPI document, answered as it says, and told apart."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import jsonschema_rs
import numpy as np
import pytest
import schemathesis
from apps.gateway.forms import ALL, CODECS, GOOD, JSON, MODEL, NUMBERS, ask, matrix, published
from apps.gateway.test_arrow import _damaged
from inference.harness import Harness, key, route, run
from inference.test_idempotency import with_store

from windvane.apps.gateway.http_app import PROTOCOLS
from windvane.apps.gateway.openapi import document
from windvane.ports.events import Predicted

DOCUMENT = json.loads(document())
PATHS = {
    path: method
    for path, methods in DOCUMENT["paths"].items()
    for method in methods
    if path.startswith(("/v2", "/models/", "/ping", "/health", "/version")) and path != "/healthz"
}


def filled(path: str) -> str:
    return path.replace("{model}", MODEL).replace("{version}", "1")


def test_the_document_is_an_openapi_document() -> None:
    schemathesis.openapi.from_dict(DOCUMENT).validate()
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)
    ids = [one["operationId"] for methods in DOCUMENT["paths"].values() for one in methods.values()]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("path", PATHS)
def test_each_documented_path_is_one_protocols(path: str) -> None:
    kind = "page" if PATHS[path] == "get" else "predict_call"
    assert [p.name for p in PROTOCOLS if getattr(p, kind)(filled(path)) is not None]


def _schema(path: str, status: int) -> dict[str, Any] | None:
    content = DOCUMENT["paths"][path][PATHS[path]]["responses"][str(status)]["content"]
    return content.get("application/json", {}).get("schema")


@pytest.mark.parametrize("path", PATHS)
def test_each_path_answers_as_documented(path: str) -> None:
    async def story(harness: Harness) -> None:
        method = PATHS[path].upper()
        statuses = set()

        async def look(given: bytes, **more: Any) -> None:
            answer = await harness.call(more.pop("method", method), filled(path), given, **more)
            statuses.add(answer.status)
            schema = _schema(path, answer.status)
            if schema is not None:
                whole = {**schema, "components": DOCUMENT["components"]}
                jsonschema_rs.validator_for(whole).validate(answer.json)

        await look(b"{}")
        await harness.publish(route(contract=NUMBERS))
        sent = {
            "infer": {"inputs": [{"name": "m", "shape": [1, 3], "datatype": "INT8",
                                  "data": [1, 2, 3]}]},
            "invocations": {"inputs": [[1, None, 3]]},
        }  # fmt: skip
        body = json.dumps(sent.get(path.rsplit("/", 1)[1], {})).encode()
        await look(body)
        await look(body, auth="")
        await look(b"{", headers={"content-type": JSON})
        await look(body.replace(b"1", b"9"))
        await look(body, method="PUT")
        assert {200, 405} <= statuses
        if method == "POST":
            assert {400, 401, 422, 503} <= statuses | {422}

    run(story)


@pytest.mark.parametrize(
    "path",
    ["/v2/", "/v2/health", "/v2/models", "/v2/models//infer", "/v2/models/late/versions",
     "/v2/models/late/versions/1/2/infer", "/models/invocations", "/models/a/b/invocations",
     "/invocations", "/v3", "/ping/", "/v2x"],
)  # fmt: skip
def test_other_paths_are_nobodys(path: str) -> None:
    async def story(harness: Harness) -> None:
        await published(harness, NUMBERS)
        for method in ("GET", "POST"):
            assert (await harness.call(method, path, b"{}")).status == 404

    run(story)


def test_a_repetition_gets_the_same_bytes_and_headers_by_every_protocol(tmp_path: Path) -> None:
    async def story(harness: Harness) -> None:
        await published(harness, ALL)
        for name, make in CODECS.items():
            sent = make(ALL, [GOOD], ["u"])
            again = {"idempotency-key": name}
            first, second = [await ask(harness, sent, headers=again) for _ in range(2)]
            assert first.status == 200, first.body
            assert second.headers.pop("idempotency-replayed") == "true"
            assert (first.body, first.headers) == (second.body, second.headers), name
        predicted = [e for e in harness.spool.events if isinstance(e, Predicted)]
        assert len(predicted) == len(CODECS)

    with_store(tmp_path, story)


def test_a_key_of_one_version_gives_no_answer_of_another(tmp_path: Path) -> None:
    async def story(harness: Harness) -> None:
        await published(harness, NUMBERS)
        sent = matrix(np.ones((1, 3)))
        found = []
        for version in ("1", "99", "1"):
            path = f"/v2/models/{MODEL}/versions/{version}/infer"
            headers = {**sent.headers, "idempotency-key": "one"}
            found.append(await harness.call("POST", path, sent.body, headers=headers))
        assert [answer.status for answer in found] == [200, 422, 200]
        assert "idempotency-replayed" in found[2].headers

    with_store(tmp_path, story)


def test_limits_hold_for_every_protocol() -> None:
    async def story(harness: Harness) -> None:
        await published(harness, NUMBERS)
        harness.services.max_under_way = 0
        for path in (f"/v2/models/{MODEL}/infer", f"/models/{MODEL}/invocations"):
            answer = await harness.call("POST", path, b"{}", headers={"content-type": JSON})
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert b"GAT-110" in answer.body
        harness.services.max_under_way = 9
        answer = await ask(harness, matrix(np.ones((101, 3))))
        assert (answer.status, "101 rows, 100 allowed" in answer.json["error"]) == (413, True)

    run(story)


@pytest.mark.parametrize("name", CODECS)
def test_damaged_bodies_are_the_clients_fault(name: str) -> None:
    """Whatever comes: it is answered, or refused as what the client sent wrong."""
    dice = random.Random(name)

    async def story(harness: Harness) -> None:
        await published(harness, ALL)
        sent = CODECS[name](ALL, [GOOD, {**GOOD, "number": 3.0}], ["u", ""])
        statuses: set[int] = set()
        for _ in range(400):
            body = _damaged(sent.body, dice)
            answer = await ask(harness, sent, body=body)
            assert answer.status < 500, (body, answer.body)
            statuses.add(answer.status)
        assert 400 in statuses
        # Over gRPC the model's name is in the body, and may be damaged as well.
        recorded = len(harness.spool.events)
        assert 0 < recorded < 400 if name.startswith("grpc") else recorded == 400

    run(story)


def test_versions_of_the_api_are_of_our_own_protocol_alone() -> None:
    pinned = key("old", "acme", "predict", api_version="2026-11-01")

    async def story(harness: Harness) -> None:
        await harness.publish(route(contract=NUMBERS), keys=[pinned])
        rows = [{"a": 1.0, "b": None, "c": 2}]
        told = {}
        for name in ("native", "csv", "arrow", "oip json", "oip binary", "instances"):
            sent = CODECS[name](NUMBERS, rows, [""])
            for asked in ("", "2026-11-21", "none"):
                headers = {**sent.headers, **({"windvane-version": asked} if asked else {})}
                answer = await harness.call(
                    "POST", sent.path, sent.body, auth="Bearer wv_old", headers=headers
                )
                told[name, asked] = (answer.status, b'"why"' in answer.body)
                assert ("windvane-version" in answer.headers) == (
                    sent.path.startswith("/v1") and asked == "2026-11-21"
                )
        for name in ("native", "csv", "arrow"):
            assert told[name, ""] == (200, False)
            assert told[name, "2026-11-21"] == (200, True)
            assert told[name, "none"] == (400, False)
        others = [
            told[name, asked] for name, asked in told if name not in ("native", "csv", "arrow")
        ]
        assert set(others) == {(200, False)}

    run(story)
