"""What cannot be sent is the client's own error, before anything is sent, by both clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from windvane.client import AsyncClient, BadArgument, Client

LONG = 10**5_000


def inside_itself() -> list[Any]:
    held: list[Any] = []
    held += [held, held]
    return held


def mapping_in_itself() -> dict[str, Any]:
    held: dict[str, Any] = {}
    held["a"] = [held]
    return held


def deep() -> list[Any]:
    held: list[Any] = []
    for _ in range(5_000):
        held = [held]
    return held


class Counting:
    """Answers predictions, and keeps the bodies that came."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.sent.append(body)
        row = {"value": 0.5, "version": "1", "arm": "champion", "flags": []}
        rows = [row] * len(body.get("instances", ()))
        return httpx.Response(200, json={"request_id": "r", "model": "m", "predictions": rows})

    def both(self, work: Callable[[Any], Any], **settings: Any) -> list[Any]:
        """What a call gives through either client, or raises."""
        settings = {"url": "http://h", "api_key": "k", "compress_above": None} | settings

        async def run() -> Any:
            async with AsyncClient(
                **settings, transport=httpx.MockTransport(self._awaited)
            ) as client:
                return await work(client)

        found: list[Any] = []
        for attempt in (
            lambda: work(Client(**settings, transport=httpx.MockTransport(self.answer))),
            lambda: asyncio.run(run()),
        ):
            try:
                found.append(attempt())
            except Exception as error:  # compared by the test
                found.append(error)
        return found

    async def _awaited(self, request: httpx.Request) -> httpx.Response:
        return self.answer(request)

    def refused(self, said: str, work: Callable[[Any], Any], **settings: Any) -> None:
        for error in self.both(work, **settings):
            assert type(error) is BadArgument
            assert said in str(error)
        assert self.sent == []


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.clongdouble(1), "cannot be sent"),
        (np.longdouble("inf"), "inf is no finite number"),
        (inside_itself(), "a list lies in itself"),
        (mapping_in_itself(), "a dict lies in itself"),
        (deep(), "more than 64 levels"),
        ("\ud800", "is no text"),
        ({"\ud800": 1}, "is no text"),
        ({LONG: 1}, "is no name"),
        (Decimal("Infinity"), "no finite number"),
        (LONG, "a whole number of 16,610 bits is too long"),
        ([LONG], "too long"),
        (np.array([LONG], object), "too long"),
    ],
    ids=lambda _: "x",  # pytest itself cannot write some of them
)
def test_a_value_that_json_has_not(value: Any, said: str) -> None:
    calls = Counting()
    calls.refused(said, lambda client: client.predict("m", [{}, {"x": value}]))
    calls.refused(said, lambda client: client.predict("m", [{}], units=[value]))
    calls.refused(
        said, lambda client: client.send_outcomes("m", [{"request_id": "r", "value": value}])
    )
    calls.refused(
        said, lambda client: client.send_events("m", [{"id": "a", "features": {"x": value}}])
    )


@pytest.mark.parametrize(
    "rows",
    [[{"\ud800": 1}], [{LONG: 1}], pd.DataFrame([[1]], columns=pd.Index([LONG]))],
    ids=lambda _: "x",
)
def test_a_name_that_is_no_text(rows: Any) -> None:
    Counting().refused("text", lambda client: client.predict("m", rows))


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (np.longdouble(1.5), 1.5),
        (np.array([1.5, np.nan], np.longdouble), [1.5, None]),
        (Decimal("sNaN"), None),
        (Decimal("2.5"), 2.5),
        (memoryview(b"abcd")[::2], "YWM="),
        ([[1, [2]], [1, [2]]], [[1, [2]], [1, [2]]]),
        (2**63, 2**63),
    ],
)
def test_a_value_that_json_has_in_another_form(value: Any, sent: Any) -> None:
    calls = Counting()
    for found in calls.both(lambda client: client.predict("m", {"x": value})):
        assert found.values == [0.5]
    assert [body["instances"] for body in calls.sent] == [[{"features": {"x": sent}}]] * 2


def test_one_list_at_two_places_is_not_in_itself() -> None:
    shared = [1.0]
    calls = Counting()
    calls.both(lambda client: client.predict("m", {"x": [shared, shared]}))
    assert [body["instances"][0]["features"]["x"] for body in calls.sent] == [[[1.0], [1.0]]] * 2


@pytest.mark.parametrize("model", ["..", ".", "", "\ud800", None, 3], ids=ascii)
def test_a_name_that_would_lead_elsewhere_is_no_model(model: Any) -> None:
    calls = Counting()
    calls.refused("name", lambda client: client.predict(model, {"x": 1}))
    calls.refused("name", lambda client: client.send_events(model, [{"id": "a"}]))
    calls.refused(
        "name", lambda client: client.send_outcomes(model, [{"request_id": "r", "value": 1}])
    )


@pytest.mark.parametrize("deadline", [float("inf"), float("nan"), 1e300, 86_401, 0, -1.0, "1"])
def test_a_deadline_that_no_clock_has(deadline: Any) -> None:
    calls = Counting()
    calls.refused("a deadline must", lambda c: c.predict("m", {"x": 1}, deadline=deadline))
    calls.refused("a deadline must", lambda c: c.predict("m", {"x": 1}), deadline=deadline)


@pytest.mark.parametrize(
    "settings",
    [
        {"connections": 0}, {"connections": -1}, {"connections": 1.5}, {"retries": -1},
        {"retries": float("nan")}, {"max_rows": 0}, {"max_rows": float("inf")},
        {"url": "http://[::1"}, {"url": "http://h:99999"}, {"url": "http://h:x"},
        {"url": "http://\ud800"}, {"url": "http://h\x00"}, {"verify": "a\x00b"},
    ],
    ids=ascii,
)  # fmt: skip
def test_a_client_that_could_not_send(settings: Any) -> None:
    Counting().refused("", lambda client: client.predict("m", {"x": 1}), **settings)


@pytest.mark.parametrize("key", ["\ud800", "", "a" * 201, 7], ids=ascii)
def test_a_key_that_no_header_holds(key: Any) -> None:
    Counting().refused(
        "idempotency key", lambda client: client.predict("m", {"x": 1}, idempotency_key=key)
    )


def test_a_closed_client_says_so() -> None:
    def sync(client: Any) -> Any:
        client.close()
        return client.predict("m", {"x": 1})

    async def awaited(client: Any) -> Any:
        await client.aclose()
        return await client.predict("m", {"x": 1})

    def work(client: Any) -> Any:
        return sync(client) if isinstance(client, Client) else awaited(client)

    Counting().refused("this client is closed", work)


def test_explained_rows_times_features_keep_to_what_a_gateway_explains() -> None:
    calls = Counting()
    wide = [{f"f{i}": 1.0 for i in range(1_500)}] * 30
    wider = [{f"f{i}": 1.0 for i in range(20_001)}] * 2
    calls.both(lambda client: client.predict("m", wide, explain=True))
    calls.both(lambda client: client.predict("m", wider, explain=True))
    calls.both(lambda client: client.predict("m", wide))
    assert [len(body["instances"]) for body in calls.sent] == [13, 13, 4] * 2 + [1, 1] * 2 + [
        30
    ] * 2
