"""No feature value and no secret is in a log line, whatever fails; the request's id is."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from inference.harness import Harness, route, run

from windvane.adapters.logs import start_logging
from windvane.inference.engine import Engine
from windvane.ports.runtime import refuse_value

VALUE = 314.159265
NAME = "van"
ROW = {"x": VALUE, "n": 271828, "kind": NAME}
TRACES = ("314.15", "271828", "'van'", "wv_acme", "Bearer")


@pytest.fixture(params=["json", "text"])
def written(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = root.handlers[:], root.level, sys.excepthook
    stream = io.StringIO()
    start_logging("gateway-0", request.param, stream=stream, level=logging.DEBUG)
    yield stream
    root.handlers[:], level, sys.excepthook = before
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[str]:
    text = stream.getvalue()
    assert not [trace for trace in TRACES if trace in text], text
    return text.splitlines()


def named(stream: io.StringIO, request_id: str) -> bool:
    """Whether a line names the request; in JSON by its field."""
    for line in lines(stream):
        if line.startswith("{"):
            if json.loads(line).get("request_id") == request_id:
                return True
        elif request_id in line:
            return True
    return False


def test_a_version_that_fails_with_the_row_in_its_words(written: io.StringIO) -> None:
    async def story(harness: Harness) -> None:
        def fails(row: Any) -> float:
            raise ValueError(f"could not convert {list(row)} to float")

        harness.predictor().answers = fails
        await harness.publish()
        answer = await harness.predict(ROW)
        assert answer.code == "GAT-108"
        assert named(written, answer.json["request_id"])

    run(story)


def test_a_row_that_cannot_be_encoded(written: io.StringIO) -> None:
    async def story(harness: Harness) -> None:
        def encodes(values: Any) -> Any:
            raise refuse_value("kind", values[2], 3)

        harness.predictor().encodes = encodes
        await harness.publish(route(constant=(0.5,)))
        answer = await harness.predict(ROW)
        assert answer.status == 200
        assert named(written, answer.json["request_id"])

    run(story)


def test_the_gateway_itself_fails(written: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(engine: Engine, request: Any) -> Any:
        try:
            raise KeyError(request.body.decode())
        except KeyError as error:
            raise RuntimeError(f"no way for {request.body!r} of {request.credential!r}") from error

    monkeypatch.setattr(Engine, "_answer", fails)

    async def story(harness: Harness) -> None:
        await harness.publish()
        answer = await harness.predict(ROW)
        assert (answer.status, answer.code) == (500, "GAT-199")
        assert named(written, answer.json["request_id"])
        assert "RuntimeError" in written.getvalue()
        assert "KeyError" in written.getvalue()

    run(story)


def test_refusals_say_nothing(written: io.StringIO) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        await harness.predict({**ROW, "x": -VALUE})
        await harness.predict({**ROW, "kind": "van2"})
        await harness.predict(ROW, auth="Bearer wv_acme_unknown")
        harness.spool.full = True
        await harness.predict(ROW)
        lines(written)

    run(story)
