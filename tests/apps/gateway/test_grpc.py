"""The Open Inference Protocol over gRPC, by Triton's clients and by hand."""

from __future__ import annotations

import asyncio
import gzip
import math
import socket
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from apps.gateway.forms import ALL, GOOD, MODEL, NUMBERS, number_of
from apps.gateway.live import Live, live
from apps.gateway.test_http_tls import CHAIN, KEY, issue
from google.protobuf.descriptor import FieldDescriptor
from inference.harness import FakePredictor, Harness, route, run, until
from inference.recording_tracer import RecordingTracer
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

from windvane.adapters.files import FileCertificate
from windvane.apps.gateway.grpc_front import FrontBounds
from windvane.apps.gateway.grpc_server import CODES
from windvane.apps.gateway.grpc_service import GrpcCall, GrpcService
from windvane.apps.gateway.protocols.open_inference_messages import (
    MESSAGES,
    SERVICE,
    ModelInferRequest,
    ModelInferResponse,
    message_class,
)
from windvane.apps.gateway.statuses import STATUSES
from windvane.inference.errors import DeadlinePassed, NoAnswer, NoKey
from windvane.ports.events import Predicted, Refused

MIXED = "mixed"
AUTH = {"authorization": "Bearer wv_acme"}
ROWS = np.array([[1.0, math.nan, 3.0], [-2.0, 0.5, 4.0]])
SAID = [number_of((1.0, None, 3)), number_of((-2.0, 0.5, 4))]
WITHIN_S = 20.0


def _prepare(harness: Harness) -> None:
    for model in (MODEL, MIXED):
        harness.predictor(model=model).answers = number_of


@pytest.fixture(scope="module")
def gateway() -> Iterator[Live]:
    with live(route(contract=NUMBERS), route(MIXED, contract=ALL), prepare=_prepare) as found:
        yield found


@pytest.fixture
def client(gateway: Live) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(f"127.0.0.1:{gateway.grpc_port}") as opened:
        yield opened


def matrix(rows: Any = ROWS) -> list[Any]:
    tensor = triton.InferInput("input", list(np.shape(rows)), "FP64")
    tensor.set_data_from_numpy(np.asarray(rows, np.float64))
    return [tensor]


def call(
    gateway: Live,
    message: Any,
    method: str = "ModelInfer",
    metadata: Sequence[tuple[str, str]] = tuple(AUTH.items()),
    **more: Any,
) -> bytes:
    """A call by hand; its message may be bytes."""
    body = message if isinstance(message, bytes) else message.SerializeToString()
    with grpc.insecure_channel(f"127.0.0.1:{gateway.grpc_port}") as channel:
        ask = channel.unary_unary(f"/{SERVICE}/{method}")
        return ask(body, metadata=metadata, timeout=WITHIN_S, **more)


def refused(gateway: Live, message: Any, **more: Any) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as found:
        call(gateway, message, **more)
    return found.value


def test_every_field_is_the_one_that_other_clients_know() -> None:
    def fields(found: Any) -> dict[str, tuple[int, int, bool, str]]:
        return {
            one.name: (
                one.number, one.type, one.is_repeated,
                one.message_type.full_name if one.type == FieldDescriptor.TYPE_MESSAGE else "",
            )
            for one in found.fields
        }  # fmt: skip

    def nested(found: Any) -> dict[str, Any]:
        return {one.name: fields(one) for one in found.nested_types}

    theirs = service_pb2.DESCRIPTOR.message_types_by_name
    for name in MESSAGES:
        if "." not in name:
            ours = message_class(name).DESCRIPTOR
            assert fields(ours) == fields(theirs[name]), name
            assert nested(ours) == nested(theirs[name]), name


def test_every_status_of_a_rejection_has_a_code() -> None:
    only_http = {405, 408, 431}  # methods, slow bodies and long heads are gRPC's own affair
    assert set(STATUSES.values()) - only_http == set(CODES)


def test_tritonclient_asks_about_the_server_and_its_models(
    client: triton.InferenceServerClient,
) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL, headers=AUTH)
    for model, headers in (("none", AUTH), (MODEL, {}), (MODEL, {"authorization": "Bearer no"})):
        with pytest.raises(InferenceServerException, match=r"GAT-10[12]"):
            client.is_model_ready(model, headers=headers)
    assert list(client.get_server_metadata().extensions) == ["binary_tensor_data"]
    about = client.get_model_metadata(MODEL, headers=AUTH)
    assert [one.name for one in about.inputs] == ["a", "b", "c"]
    assert [(one.name, one.datatype, list(one.shape)) for one in about.outputs] == [
        ("value", "FP64", [-1])
    ]
    assert list(about.versions) == ["1"]
    with pytest.raises(InferenceServerException, match="GAT-102"):
        client.get_model_metadata(MODEL, "7", headers=AUTH)


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_tritonclient_sends_a_matrix(
    client: triton.InferenceServerClient, compression: str | None
) -> None:
    answer = client.infer(
        MODEL, matrix(), request_id="mine", headers=AUTH, compression_algorithm=compression
    )
    assert answer.as_numpy("value").tolist() == SAID
    response = answer.get_response()
    assert (response.id, response.model_version) == ("mine", "1")
    assert response.parameters["arm"].string_param == "champion"


def test_tritonclient_sends_a_tensor_a_feature(client: triton.InferenceServerClient) -> None:
    def tensor(name: str, values: Any, datatype: str) -> Any:
        array = np.array(values)
        made = triton.InferInput(name, list(array.shape), datatype)
        made.set_data_from_numpy(array)
        return made

    text = np.array([GOOD["datetime"].isoformat()], np.object_)
    inputs = [
        tensor("number", np.array([1.5], np.float32), "FP32"),
        tensor("integer", np.array([2], np.int16), "INT16"),
        tensor("boolean", np.array([True]), "BOOL"),
        tensor("category", np.array(["van"], np.object_), "BYTES"),
        tensor("datetime", text, "BYTES"),
        tensor("text", np.array(["hey"], np.object_), "BYTES"),
        tensor("vector", np.array([[1.0, 2.0]], np.float16), "FP16"),
        tensor("image", np.array([b"png"], np.object_), "BYTES"),
    ]
    answer = client.infer(MIXED, inputs, headers=AUTH)
    row = (1.5, 2, True, "van", GOOD["datetime"].timestamp(), "hey", [1.0, 2.0], b"png")
    assert answer.as_numpy("value").tolist() == [number_of(row)]


def test_tritonclient_aio_asks_many_times_at_once(gateway: Live) -> None:
    async def story() -> None:
        async with triton_aio.InferenceServerClient(f"127.0.0.1:{gateway.grpc_port}") as opened:
            assert await opened.is_server_ready()
            answers = await asyncio.gather(
                *(opened.infer(MODEL, matrix(), headers=AUTH) for _ in range(50))
            )
            assert [answer.as_numpy("value").tolist() for answer in answers] == [SAID] * 50

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        asyncio.run(story())


def test_errors_have_a_code_a_hint_and_when_to_come_back(
    gateway: Live, client: triton.InferenceServerClient
) -> None:
    wrong: list[tuple[Any, dict[str, str], str, str]] = [
        (matrix([[9.0, 1.0, 1.0]]), AUTH, "CON-110: row 0: a 9.0 is outside", "INVALID_ARGUMENT"),
        (matrix([[1.0, 1.0]]), AUTH, "CON-", "INVALID_ARGUMENT"),
        (matrix(), {}, "GAT-101", "UNAUTHENTICATED"),
        (matrix(), {"authorization": "Bearer wv_nobody"}, "GAT-101", "UNAUTHENTICATED"),
        (matrix(np.ones((101, 3))), AUTH, "GAT-104", "RESOURCE_EXHAUSTED"),
    ]
    for inputs, headers, message, status in wrong:
        with pytest.raises(InferenceServerException, match=message) as found:
            client.infer(MODEL, inputs, headers=headers)
        assert status in str(found.value.status())
    services = gateway.harness.services
    before, services.max_under_way = services.max_under_way, 0
    try:
        error: Any = refused(gateway, ModelInferRequest(model_name=MODEL))
    finally:
        services.max_under_way = before
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    trailing = dict(error.trailing_metadata())
    assert (trailing["windvane-code"], trailing["grpc-retry-pushback-ms"]) == ("GAT-110", "1000")


def test_a_stranger_is_refused_before_the_message_is_read(gateway: Live) -> None:
    """Bytes that are no message tell who is asked first: the key, or the message."""
    assert refused(gateway, b"\xff\xff", metadata=()).code() is grpc.StatusCode.UNAUTHENTICATED
    known = refused(gateway, b"\xff\xff")
    assert known.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "CON-100" in str(known.details())


def test_contents_that_do_not_fit_are_named(gateway: Live) -> None:
    def message(datatype: str, raw: Sequence[bytes] = (), **contents: Any) -> Any:
        made = ModelInferRequest(model_name=MODEL, raw_input_contents=raw)
        tensor = made.inputs.add(name="m", datatype=datatype, shape=[1, 3])
        for name, held in contents.items():
            getattr(tensor.contents, name).extend(held)
        return made

    good = ModelInferResponse.FromString(
        call(gateway, message("FP32", fp32_contents=[1.0, 2.0, 3.0]))
    )
    assert list(good.outputs[0].contents.fp64_contents) == [number_of((1.0, 2.0, 3))]
    for wrong, said in (
        (message("FP64", fp32_contents=[1.0, 2.0, 3.0]), "fp64_contents, not in fp32_contents"),
        (message("FP16"), "send raw_input_contents"),
        (message("FP64", [b"12345678" * 3], fp64_contents=[1.0]), "raw_input_contents are there"),
        (message("FP64", [b"12345678"] * 2), "raw_input_contents has 2 parts, there are 1 inputs"),
        (message("FP64", [b"1234"]), "4 bytes, 3 of FP64 take 24"),
        (message("FP64", fp64_contents=[1.0]), "1 elements, the shape 3"),
        (message("TEXT"), "none of BOOL"),
    ):
        error: Any = refused(gateway, wrong)
        assert (error.code(), said in error.details()) == (
            grpc.StatusCode.INVALID_ARGUMENT, True,
        ), error.details()  # fmt: skip
        assert "(send inference.ModelInferRequest" in error.details()


def one_row() -> bytes:
    message = ModelInferRequest(model_name=MODEL)
    tensor = message.inputs.add(name="m", datatype="FP64", shape=[1, 3])
    tensor.contents.fp64_contents.extend([1.0, 1.0, 1.0])
    return message.SerializeToString()


def test_the_deadline_of_a_call_is_the_requests() -> None:
    async def story(harness: Harness) -> None:
        slow = harness.runtime.predictors[f"{MODEL}/1"] = FakePredictor(blocking=True)
        await harness.publish(route(contract=NUMBERS))
        slow.hold()
        service = GrpcService(harness.worker.engine, harness.app.check_ready)
        metadata = {"authorization": b"Bearer wv_acme"}
        with pytest.raises(DeadlinePassed):
            await service.infer(GrpcCall(one_row(), metadata, left_s=0.05))
        assert harness.services.under_way == 0
        slow.let_go()

    run(story)


def test_a_traced_call_has_the_same_steps_and_says_that_it_came_by_grpc() -> None:
    async def story(harness: Harness) -> None:
        tracer = harness.services.tracer = RecordingTracer()
        slow = harness.predictor(model=MODEL)
        await harness.publish(route(contract=NUMBERS))
        service = GrpcService(harness.worker.engine, harness.app.check_ready)
        body = one_row()
        trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
        metadata = {
            "authorization": b"Bearer wv_acme",
            "traceparent": f"00-{trace}-{span}-01".encode(),
            "tracestate": b"vendor=1",
        }
        await service.infer(GrpcCall(body, metadata))
        assert tracer.names == ["admit", "read_body", "decode", "execute", "encode", "record"]
        assert (tracer.last.trace.id, tracer.last.trace.tracestate()) == (trace, "vendor=1")
        assert tracer.last.name == f"{SERVICE}/ModelInfer"
        message = tracer.last.attributes
        assert (message["rpc.system"], message["rpc.service"]) == ("grpc", SERVICE)
        assert (message["rpc.method"], message["windvane.version"]) == ("ModelInfer", ["1"])
        assert "error.type" not in message

        slow.fails = lambda row: True
        with pytest.raises(NoAnswer):
            await service.infer(GrpcCall(body, metadata))
        assert (tracer.last.attributes["error.type"], tracer.last.failed) == ("GAT-108", True)
        slow.fails = lambda row: False

        slow = harness.hold(model=MODEL)
        waiting = asyncio.create_task(service.infer(GrpcCall(body, metadata)))
        await until(slow.started.is_set)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        slow.let_go()
        assert tracer.last.attributes["error.type"] == "aborted"

        with pytest.raises(NoKey):
            await service.infer(GrpcCall(body, {**metadata, "authorization": b"Bearer wv_who"}))
        assert (len(tracer.begun), len(tracer.ended)) == (4, 3)

    run(story)


def test_a_key_that_cannot_be_one_is_refused(gateway: Live) -> None:
    bad = refused(gateway, b"", metadata=(*AUTH.items(), ("idempotency-key", "x" * 300)))
    assert "GAT-130" in str(bad.details())


def test_events_are_those_of_any_other_request(
    gateway: Live, client: triton.InferenceServerClient
) -> None:
    client.infer(MODEL, matrix(), headers={**AUTH, "x-request-id": "order-7"})
    events = [e for e in gateway.harness.spool.events if isinstance(e, Predicted)]
    assert (events[-1].request_id, events[-1].tenant, events[-1].rows) == ("order-7", "acme", 2)
    with pytest.raises(InferenceServerException):
        client.infer(MODEL, matrix([[9.0, 1.0, 1.0]]), headers=AUTH)
    last = gateway.harness.spool.events[-1]
    assert isinstance(last, Refused)
    assert (last.code, last.tenant) == ("CON-103", "acme")


def test_messages_are_bounded_packed_or_not() -> None:
    with live(route(contract=NUMBERS), prepare=_prepare, max_body_bytes=10_000) as gateway:
        big = ModelInferRequest(model_name=MODEL, raw_input_contents=[bytes(1_000_000)])
        for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
            error = refused(gateway, big, compression=compression)
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        long = (*AUTH.items(), ("x-more", "x" * 50_000))
        error = refused(gateway, ModelInferRequest(), metadata=long)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert len(gzip.compress(bytes(1_000_000))) < 10_000  # packed it was small enough


def silent(port: int, count: int, sent: bytes = b"") -> list[socket.socket]:
    opened = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    for one in opened:
        one.sendall(sent)
    return opened


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)


@pytest.mark.parametrize("sent", [b"", PREFACE])
@pytest.mark.parametrize("secure", [False, True])
def test_silent_connections_are_bounded_and_make_room(
    tmp_path: Path, sent: bytes, secure: bool
) -> None:
    issue(tmp_path, 1)
    tls = FileCertificate(tmp_path / CHAIN, tmp_path / KEY) if secure else None
    bounds = FrontBounds(connections=40, per_address=8, handshake_s=0.3)
    with live(route(contract=NUMBERS), prepare=_prepare, tls=tls, grpc_bounds=bounds) as gateway:
        flood = silent(gateway.grpc_port, 60, sent)
        try:
            assert ready(gateway.grpc_port, tmp_path, secure=secure)
            front = gateway.by_grpc.front
            assert front is not None
            assert len(front.open) <= 8
            # A preface is no handshake: such a connection ends by itself.
            assert front.evicted > 0 or (secure and sent)
        finally:
            for one in flood:
                one.close()
        assert ready(gateway.grpc_port, tmp_path, secure=secure)


def test_a_half_sent_call_takes_nobodys_place(gateway: Live) -> None:
    """Its head is there and its message never comes."""
    before, gateway.harness.services.max_under_way = gateway.harness.services.max_under_way, 1
    settings = bytes(3) + b"\x04" + bytes(5)
    half = PREFACE[:24] + settings
    flood = silent(gateway.grpc_port, 5, half)
    try:
        message = ModelInferRequest(model_name=MODEL)
        tensor = message.inputs.add(name="m", datatype="FP64", shape=[1, 3])
        tensor.contents.fp64_contents.extend([1.0, 1.0, 1.0])
        assert call(gateway, message)
    finally:
        gateway.harness.services.max_under_way = before
        for one in flood:
            one.close()


def test_tensors_are_counted_before_any_is_looked_at(gateway: Live) -> None:
    many = ModelInferRequest(model_name=MODEL)
    for _ in range(20_000):
        many.inputs.add()
    error: Any = refused(gateway, many)
    assert "20,000 columns for 3 features" in error.details()
    outputs = ModelInferRequest(model_name=MODEL)
    outputs.inputs.add(name="m", datatype="FP64", shape=[1, 3])
    for _ in range(20_000):
        outputs.outputs.add()
    assert "20,000 outputs" in str(refused(gateway, outputs).details())


def ready(port: int, folder: Path, *, secure: bool) -> bool:
    # One pool of connections a channel, or the next would go on with the first.
    options = [("grpc.use_local_subchannel_pool", 1)]
    if secure:
        roots = grpc.ssl_channel_credentials((folder / CHAIN).read_bytes())
        channel = grpc.secure_channel(f"localhost:{port}", roots, options)
    else:
        channel = grpc.insecure_channel(f"127.0.0.1:{port}", options)
    with channel:
        ask = channel.unary_unary(f"/{SERVICE}/ServerReady")
        answer = ask(b"", timeout=WITHIN_S, wait_for_ready=True)
    return message_class("ServerReadyResponse").FromString(answer).ready


def test_a_renewed_certificate_is_shown_to_the_next_connection(tmp_path: Path) -> None:
    issue(tmp_path, 1)
    tls = FileCertificate(tmp_path / CHAIN, tmp_path / KEY, 0.01)
    with live(route(contract=NUMBERS), prepare=_prepare, tls=tls) as gateway:
        assert ready(gateway.grpc_port, tmp_path, secure=True)
        issue(tmp_path, 2)
        assert ready(gateway.grpc_port, tmp_path, secure=True)  # which trusts the new one only
        issue(tmp_path, 3, only_key=True)
        assert ready(gateway.grpc_port, tmp_path, secure=True)  # the last pair that belonged
        with (
            grpc.insecure_channel(f"127.0.0.1:{gateway.grpc_port}") as channel,
            pytest.raises(grpc.RpcError),
        ):
            channel.unary_unary(f"/{SERVICE}/ServerLive")(b"", timeout=2)
