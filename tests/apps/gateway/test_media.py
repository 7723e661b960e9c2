"""What a client says it sends and would like to get, on every path that takes a body."""

from __future__ import annotations

import json

import pytest
from apps.gateway.forms import ALL, ARROW, CSV, JSON, MODEL, NUMBERS, published
from inference.harness import Harness, run

from windvane.apps.gateway.protocols import media
from windvane.apps.gateway.protocols.media import accepted
from windvane.ports.events import Predicted

OFFERED = (media.JSON, media.CSV, media.ARROW)


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        ("text/csv", CSV),
        ("text/csv;q=1", CSV),
        ("text/csv; q=0.001", CSV),
        ("text/csv;q=1.000", CSV),
        *[
            (f"text/csv;q={odd}", JSON)
            for odd in ("nan", "inf", "-1", "2", "1.5", "1e-3", "", "high", "0", "0.0", "0.000",
                        "0,5", "٠.٥", "0.5.5", "+0.5", "1_0")
        ],
        (f"text/csv;q=nan, {ARROW}", ARROW),
        (f"text/csv;q=0.4, {ARROW};q=0.6", ARROW),
        (f"text/csv;q=0.6, {ARROW};q=0.4", CSV),
        (f"text/csv, {ARROW}", CSV),
        ("text/csv;q=0.4, */*;q=0.5", JSON),
        ("text/csv, */*", CSV),
        ("text/html, */*;q=0.8", JSON),
        ("text/html", JSON),
        ("*/*", JSON),
    ],
)  # fmt: skip
def test_what_is_given_is_what_is_wanted_most(accept: str, given: str) -> None:
    assert accepted({b"accept": accept.encode()}, OFFERED) == given


@pytest.mark.parametrize("path", ["/v1/outcomes", f"/v1/models/{MODEL}/events"])
def test_events_and_outcomes_are_json(path: str) -> None:
    """As on the other paths: what is said to be something else is not read as JSON."""
    asked = {
        "/v1/outcomes": {"model": MODEL, "outcomes": [{"request_id": "r", "value": 1.0}]},
    }.get(path, {"events": [{"id": "e", "features": {"a": 1.0, "b": 2, "c": 3}, "outputs": 0.5}]})
    sent = json.dumps(asked).encode()

    async def story(harness: Harness) -> None:
        await published(harness, NUMBERS)
        for kind in ("text/csv", ARROW, "application/xml", "application/json; charset=utf-16"):
            answer = await harness.call("POST", path, sent, headers={"content-type": kind})
            assert (answer.status, answer.code) == (415, "GAT-119")
        answer = await harness.call("POST", path, sent, headers={"content-type": CSV}, auth="no")
        assert answer.status == 401
        assert not [e for e in harness.spool.events if isinstance(e, Predicted)]
        for good in ("application/json", "application/json; charset=UTF-8", "text/plain", ""):
            answer = await harness.call("POST", path, sent, headers={"content-type": good})
            assert answer.status == 202, answer.body

    run(story)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("path", [f"/v1/models/{MODEL}/predict", f"/models/{MODEL}/invocations"])
def test_lines_may_end_as_on_any_system(path: str, quote: str, end: str) -> None:
    names = [f"{quote}{name}{quote}" for name in NUMBERS.names]
    lines = [",".join(names), "1,2,3", "4,5,6"]

    async def story(harness: Harness) -> None:
        await published(harness, NUMBERS)
        sent = {"header=present": lines, "header=absent": lines[1:]}
        for how, some in sent.items():
            answer = await harness.call(
                "POST", path, (end.join(some) + end).encode(),
                headers={"content-type": f"text/csv; {how}"},
            )  # fmt: skip
            assert answer.status == 200, answer.body
        rows = [e.features for e in harness.spool.events if isinstance(e, Predicted)]
        assert rows == [[[1.0, 4.0], [2.0, 5.0], [3, 6]]] * 2

    run(story)


HINTS = {
    "native": (f"/v1/models/{MODEL}/predict", JSON, "instances"),
    "csv": (f"/v1/models/{MODEL}/predict", CSV, "a line with the features' names"),
    "csv, no header": (f"/v1/models/{MODEL}/predict", "text/csv; header=absent", "in the order"),
    "arrow": (f"/v1/models/{MODEL}/predict", ARROW, "Arrow IPC stream"),
    "tensors": (f"/v2/models/{MODEL}/infer", JSON, '"datatype"'),
    "mlflow": (f"/models/{MODEL}/invocations", JSON, "dataframe_split"),
    "mlflow, csv": (f"/models/{MODEL}/invocations", CSV, "a line with the features' names"),
    "mlflow, lines": (f"/models/{MODEL}/invocations", media.JSON_LINES, "a line"),
    "events": (f"/v1/models/{MODEL}/events", JSON, '{"events"'),
}
SPLIT = b'{"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}'
ODD = {
    "native": [b"", b"[]", b'{"instances": []}', b'{"instances": [1]}'],
    "csv": [b"", b"a,a\n1,2", b"number\n", b",".join(b"c%d" % i for i in range(99)) + b"\n1",
            b"number,unit\n1," + b"u" * 300, b"a,b\n1"],
    "csv, no header": [b"", b"1,2,3\n", b"\n" * 9],
    "arrow": [b"", b"x" * 40],
    "tensors": [b"", b"{}", b'{"inputs": []}',
                b'{"inputs": [{"name": "a", "shape": [0], "datatype": "FP64", "data": []}]}'],
    "mlflow": [b"", b"[]", b'{"instances": []}', b'{"dataframe_records": []}', b'{"inputs": {}}',
               b'{"instances": [[1, 2, 3]]}', SPLIT, b'{"inputs": {"a": [1], "b": [1, 2]}}'],
    "mlflow, csv": [b"", b"a,a\n1,2"],
    "mlflow, lines": [b"", b"1", b"[1,2,3]"],
    "events": [b"", b'{"events": []}'],
}  # fmt: skip


@pytest.mark.parametrize("name", HINTS)
def test_the_hint_is_of_the_format_that_was_sent(name: str) -> None:
    path, kind, words = HINTS[name]

    async def story(harness: Harness) -> None:
        await published(harness, ALL)
        for sent in ODD[name]:
            answer = await harness.call("POST", path, sent, headers={"content-type": kind})
            assert answer.status == 400, (sent, answer.body)
            told = answer.json["error"]
            if not isinstance(told, dict):  # the Open Inference Protocol has a text
                told = {"hint": answer.body.decode().replace('\\"', '"')}
            assert words in told["hint"], (sent, told)
            if "instances" not in words and "dataframe" not in words:
                assert '{"instances"' not in told["hint"]

    run(story)
