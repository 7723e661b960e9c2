"""What every protocol says of a model that is turned off."""

from __future__ import annotations

import json
from collections.abc import Iterator

import grpc
import pytest
from apps.gateway.forms import MODEL, NUMBERS, number_of
from apps.gateway.live import Live, ask, live
from apps.gateway.test_grpc import AUTH, WITHIN_S, one_row
from apps.gateway.test_grpc_health import NOT_SERVING, SERVING, request
from inference.harness import Harness, route

from windvane.apps.gateway.grpc_health import HEALTH
from windvane.apps.gateway.protocols.open_inference_messages import SERVICE, message_class

SIGNED = [*AUTH.items()]
JSON = ("content-type", "application/json")
OTHER = "other"


@pytest.fixture(scope="module")
def gateway() -> Iterator[Live]:
    def prepare(harness: Harness) -> None:
        for model in (MODEL, OTHER):
            harness.predictor(model=model).answers = number_of

    with live(
        route(contract=NUMBERS, off=True), route(OTHER, contract=NUMBERS), prepare=prepare
    ) as found:
        yield found


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"/v1/models/{MODEL}/predict", {"instances": [{"features": {"a": 1, "b": 2, "c": 3}}]}),
        (f"/v2/models/{MODEL}/infer", {"inputs": []}),
    ],
)
def test_predictions_are_refused(gateway: Live, path: str, body: object) -> None:
    sent = json.dumps(body).encode()
    status, headers, said = ask(gateway.port, "POST", path, sent, [*SIGNED, JSON])
    assert (status, b"GAT-125" in said) == (503, True), said
    assert headers["retry-after"] == "30"
    elsewhere, _, _ = ask(
        gateway.port, "POST", path.replace(MODEL, OTHER), sent, [*SIGNED, JSON]
    )  # fmt: skip
    assert elsewhere != 503, "others go on"


def test_the_port_of_its_own_refuses_as_well(gateway: Live) -> None:
    status, _, said = ask(
        gateway.bound_port, "POST", "/invocations", b'{"inputs": [[1, 2, 3]]}', [JSON]
    )
    assert (status, b"GAT-125" in said) == (503, True), said


def test_it_is_there_but_not_ready(gateway: Live) -> None:
    status, _, said = ask(gateway.port, "GET", f"/v2/models/{MODEL}/ready", headers=SIGNED)
    assert (status, b"GAT-125" in said) == (503, True), said
    assert ask(gateway.port, "GET", f"/v2/models/{OTHER}/ready", headers=SIGNED)[0] == 200
    assert ask(gateway.port, "GET", f"/v2/models/{MODEL}", headers=SIGNED)[0] == 200
    assert ask(gateway.port, "GET", "/readyz")[0] == 200, "the gateway is"


def test_over_grpc(gateway: Live) -> None:
    metadata = tuple(AUTH.items())
    with grpc.insecure_channel(f"127.0.0.1:{gateway.grpc_port}") as channel:
        check = channel.unary_unary(f"/{HEALTH}/Check")
        assert check(request(MODEL), metadata=metadata, timeout=WITHIN_S) == NOT_SERVING
        assert check(request(OTHER), metadata=metadata, timeout=WITHIN_S) == SERVING
        ready = channel.unary_unary(f"/{SERVICE}/ModelReady")
        answer = message_class("ModelReadyResponse")
        for model, is_ready in ((MODEL, False), (OTHER, True)):
            said = ready(request(model), metadata=metadata, timeout=WITHIN_S)
            assert answer.FromString(said).ready is is_ready
        infer = channel.unary_unary(f"/{SERVICE}/ModelInfer")
        with pytest.raises(grpc.RpcError) as raised:
            infer(one_row(), metadata=metadata, timeout=WITHIN_S)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE  # type: ignore[attr-defined]
        assert "GAT-125" in raised.value.details()  # type: ignore[attr-defined]
