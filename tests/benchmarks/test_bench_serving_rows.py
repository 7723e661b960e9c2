"""The serving benchmark's rows on many rows, other tasks, bad rows: what is sent, what counts."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator, Sequence
from concurrent import futures
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import msgspec
import numpy as np
import pytest
from serving import asks, bounds, grpc_load, more_models
from serving.asks import Ask, Asker
from serving.beside import Asked, Side
from serving.load import Load, LoadGenerator, Requests, parse_load
from serving.many_rows import BINARY, ECHO_GRPC, ECHO_HTTP, GRPC, JSON, NATIVE, OURS, PROTOCOLS
from serving.model import model_body
from serving.peers import all_onnx_mlservers
from serving.processes import ServerFailed
from serving.rows import FEATURES, Rows

from windvane.apps.gateway.protocols.native import make_decoder
from windvane.core.signature import FeatureSpec, FeatureType

ROWS = np.arange(7 * 30, dtype=np.float64).reshape(7, 30)
EXPECTED = np.array([[0.25, 0.5], [0.75, 0.125]])
MLSERVERS = [server.name for server in all_onnx_mlservers()]


def load(rps: float = 100.0, ms: float = 1.0, **more: int) -> Load:
    given = {"answered": 100, "not_2xx": 0, "broken": 0, **more}
    return Load(rps, ms, 2 * ms, 3 * ms, **given)


def test_each_row_is_in_one_request_and_the_rest_of_them_in_none() -> None:
    for ask in (
        asks.native_rows(ROWS, 2, "key", EXPECTED), asks.oip_json(ROWS, 2, EXPECTED),
        asks.oip_binary(ROWS, 2, EXPECTED), asks.oip_grpc(ROWS, 2, EXPECTED),
    ):  # fmt: skip
        assert len(list(ask.bodies())) == ask.count == 3
        assert list(ask.bodies()) == list(ask.bodies())


def test_all_protocols_send_the_same_rows() -> None:
    native = [
        [[row["features"][name] for name in FEATURES] for row in json.loads(body)["instances"]]
        for body in asks.native_rows(ROWS, 2, "key", EXPECTED).bodies()
    ]
    sent = {"native": np.array(native)}
    tensors = [json.loads(b)["inputs"][0] for b in asks.oip_json(ROWS, 2, EXPECTED).bodies()]
    sent["JSON"] = np.array([np.reshape(t["data"], t["shape"]) for t in tensors])
    binary = asks.oip_binary(ROWS, 2, EXPECTED)
    size = int(binary.headers["Inference-Header-Content-Length"])
    heads = [json.loads(body[:size])["inputs"][0] for body in binary.bodies()]
    assert {h["parameters"]["binary_data_size"] for h in heads} == {2 * 30 * 8}
    sent["binary"] = np.array(
        [np.frombuffer(body[size:], np.float64).reshape(2, 30) for body in binary.bodies()]
    )
    messages: list[Any] = [
        asks.ModelInferRequest.FromString(body)
        for body in asks.oip_grpc(ROWS, 2, EXPECTED).bodies()
    ]
    sent["gRPC"] = np.array(
        [
            np.frombuffer(m.raw_input_contents[0], np.float64).reshape(*m.inputs[0].shape)
            for m in messages
        ]
    )
    for rows in sent.values():
        assert np.array_equal(rows, ROWS[:6].reshape(3, 2, 30))


def test_answers_are_read_by_protocol() -> None:
    native = {"predictions": [{"value": 0.25}, {"value": 0.5}]}
    outputs = {"outputs": [{"name": "probability", "data": [0.25, 0.5]}]}
    raw = np.array([0.25, 0.5]).tobytes()
    message: Any = asks.ModelInferResponse(raw_output_contents=[raw])
    message.outputs.add(name="probability", datatype="FP64", shape=[2])
    single: Any = asks.ModelInferResponse(
        raw_output_contents=[np.array([0.25, 0.5], np.float32).tobytes()]
    )
    single.outputs.add(name="probability", datatype="FP32", shape=[2, 1])
    for ask, answer in (
        (asks.native_rows(ROWS, 2, "key", EXPECTED), msgspec.json.encode(native)),
        (asks.oip_json(ROWS, 2, EXPECTED), msgspec.json.encode(outputs)),
        (asks.oip_binary(ROWS, 2, EXPECTED), b'{"outputs": []}' + raw),
        (asks.oip_grpc(ROWS, 2, EXPECTED), message.SerializeToString()),
        (asks.oip_grpc(ROWS, 2, EXPECTED), single.SerializeToString()),
    ):
        assert ask.read(answer).tolist() == [0.25, 0.5]


def test_a_key_is_in_the_head_of_each_request_and_in_no_repr(tmp_path: Path) -> None:
    ask = asks.oip_binary(ROWS, 2, EXPECTED, "secret")
    data = ask.write(tmp_path).read_bytes()
    for body in ask.bodies():
        size = int.from_bytes(data[:4], "little")
        request, data = data[4 : 4 + size], data[4 + size :]
        head, _, rest = request.partition(b"\r\n\r\n")
        assert rest == body
        assert f"Content-Length: {len(body)}".encode() in head.split(b"\r\n")
        assert b"Authorization: Bearer secret" in head
        assert b"Content-Type: application/octet-stream" in head
    assert data == b""
    assert "secret" not in repr(ask)


def test_calls_over_grpc_are_bare_messages_with_metadata(tmp_path: Path) -> None:
    ask = asks.oip_grpc(ROWS, 2, EXPECTED, "secret")
    data = ask.write(tmp_path).read_bytes()
    first = next(ask.bodies())
    assert data[4 : 4 + len(first)] == first
    assert ask.headers == {"authorization": "Bearer secret"}
    assert ask.write(tmp_path) != asks.oip_grpc(ROWS, 2, EXPECTED).write(tmp_path)


@pytest.fixture
def grpc_server() -> Iterator[tuple[int, list[tuple[bytes, str]]]]:
    """Answers each call with its own body, or UNAVAILABLE if it is empty, INVALID_ARGUMENT if
    it is "bad"; tells what it got, and with which key."""
    seen: list[tuple[bytes, str]] = []

    class Handler(grpc.GenericRpcHandler):
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
            metadata = dict(handler_call_details.invocation_metadata)

            def answer(body: bytes, context: grpc.ServicerContext) -> bytes:
                seen.append((body, str(metadata.get("authorization", ""))))
                if body == b"bad":
                    context.abort(grpc.StatusCode.INVALID_ARGUMENT, "bad")
                return body

            return grpc.unary_unary_rpc_method_handler(answer)

    with futures.ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool)
        server.add_generic_rpc_handlers((Handler(),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield port, seen
        server.stop(None).wait(10.0)


def write_bodies(path: Path, bodies: Sequence[bytes]) -> Path:
    path.write_bytes(b"".join(len(body).to_bytes(4, "little") + body for body in bodies))
    return path


def test_the_grpc_client_sends_the_bodies_in_turn_and_counts_what_was_refused(
    tmp_path: Path, grpc_server: tuple[int, list[tuple[bytes, str]]]
) -> None:
    port, seen = grpc_server
    path = write_bodies(tmp_path / "bodies", [b"one", b"two", b"bad"])
    requests = Requests(path, 3)
    requests.used(1)
    generator = LoadGenerator.__new__(LoadGenerator)
    generator._core = 0
    found = generator.over_grpc(port, requests, asks.INFER, {"authorization": "key"}, 0.5)
    assert found.answered == len(seen) > 20
    assert {key for _, key in seen} == {"key"}
    counts = [sum(body == known for body, _ in seen) for known in (b"two", b"bad", b"one")]
    assert counts[0] - 1 <= counts[2] <= counts[1] <= counts[0]  # it began with the second
    assert (found.not_2xx, found.broken, found.clean) == (counts[1], 0, False)
    assert 0.0 < found.p50_ms <= found.p99_ms <= found.max_ms
    assert requests.start == (1 + found.answered) % 3


def test_bodies_go_round(tmp_path: Path) -> None:
    path = write_bodies(tmp_path / "bodies", [b"a", b"bb", b"ccc"])
    found = grpc_load.bodies(path, 2)
    assert [next(found) for _ in range(4)] == [b"ccc", b"a", b"bb", b"ccc"]


def test_the_grpc_client_prints_what_the_others_print() -> None:
    found = parse_load(grpc_load.line([0.004, 0.001, 0.002, 0.003], 2.0, 1, 2))
    assert (found.rps, found.p50_ms, found.p99_ms, found.max_ms) == (2.0, 3.0, 4.0, 4.0)
    assert (found.answered, found.not_2xx, found.broken) == (4, 1, 2)
    assert not parse_load(grpc_load.line([], 2.0, 0, 3)).clean


class Echo(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(422 if self.path == "/bad" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        del format, args


@pytest.fixture
def http_port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join(10.0)


def numbers(expected: Sequence[float] | None, path: str = "/") -> Ask:
    """Two bodies, a number each, which is read from an answer."""
    return Ask(
        "numbers", path, lambda: iter((b"1.5", b"2500.0")), 2, lambda a: np.array([float(a)]),
        None if expected is None else np.array(expected)[:, None],
    )  # fmt: skip


def side(ask: Ask, port: int, folder: Path) -> Side:
    bench: Any = SimpleNamespace(folder=folder)
    running: Any = SimpleNamespace(check=lambda: None, last_words=lambda: "last words")
    server: Any = SimpleNamespace(name="server")
    site: Any = SimpleNamespace(port=port)
    return Side(bench, Asked(server, lambda _: [ask]), site, running)


def test_a_server_with_other_answers_than_the_model_is_not_timed(
    tmp_path: Path, http_port: int
) -> None:
    # Beyond one the bound is a share of the number.
    side(numbers([1.5, 2500.001]), http_port, tmp_path).check()
    for wrong in ([1.5, 2500.1], [1.50001, 2500.0]):
        with pytest.raises(ServerFailed, match="answers differ by"):
            side(numbers(wrong), http_port, tmp_path).check()
    with pytest.raises(ServerFailed, match="instead of"):
        side(
            replace(numbers([1.5, 2500.0]), read=lambda _: np.zeros(3)), http_port, tmp_path
        ).check()


def test_refusals_are_no_answers_and_expected_where_nothing_else_is(
    tmp_path: Path, http_port: int
) -> None:
    with Asker(numbers(None, "/bad"), http_port) as asker:
        assert asker.send(b"7") == (False, b"7")
    side(numbers(None, "/bad"), http_port, tmp_path).check()


def many_turn(ours: float, mlserver: float, echo: float) -> dict[str, dict[str, Load]]:
    peers = {name: load(mlserver * share) for name, share in zip(MLSERVERS, (1, 0.5), strict=True)}
    rest = {OURS: load(ours), ECHO_HTTP: load(echo)}
    return {
        NATIVE: dict(rest), JSON: {**rest, **peers}, BINARY: dict(rest),
        GRPC: {OURS: load(ours), ECHO_GRPC: load(echo), **peers},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("ours", "mlserver", "echo", "value"),
    [
        (600.0, 50.0, 2_000.0, 1.2),  # ten times MLServer's is the lesser
        (600.0, 200.0, 1_000.0, 1.2),  # half of the echo is
        (400.0, 200.0, 1_000.0, 0.8),
    ],
)
def test_many_rows_are_held_to_the_lesser_of_both(
    ours: float, mlserver: float, echo: float, value: float
) -> None:
    odd = many_turn(9.0, 1.0, 1.0)
    turns = [many_turn(ours * p, mlserver * p, echo * p) for p in (1.0, 0.5)] + [odd]
    measures = bounds.many_rows_measures(turns[:2], MLSERVERS)
    assert [m.value for m in measures] == pytest.approx([value] * 4)
    assert [m.ok for m in measures] == [value >= 1.0] * 4
    assert [m.value for m in bounds.many_rows_measures([turns[0], odd, turns[1]], MLSERVERS)] == (
        pytest.approx([value] * 4)
    )
    told = bounds.many_rows_ratios(turns[:2], MLSERVERS)
    assert [one["rows"] for one in told] == list(PROTOCOLS)
    assert [one["times_mlserver"] for one in told] == pytest.approx([ours / mlserver] * 4)
    assert [one["share_of_echo"] for one in told] == pytest.approx([ours / echo] * 4)


@pytest.mark.parametrize("failed", [OURS, MLSERVERS[1], ECHO_HTTP])
def test_a_protocol_that_was_not_answered_cleanly_by_all_is_not_measured(failed: str) -> None:
    turn = many_turn(600.0, 50.0, 2_000.0)
    turn[JSON][failed] = load(600.0, not_2xx=1)
    held = dict(zip(PROTOCOLS, bounds.many_rows_measures([turn], MLSERVERS), strict=True))
    assert not held[JSON].ok
    assert held[GRPC].ok
    assert math.isnan(held[JSON].value)


def test_tasks_are_compared_with_the_binary_model_of_their_turn() -> None:
    turns = [
        {"binary": load(1_000.0 * p), "multiclass": load(900.0 * p), "regression": load(700.0 * p)}
        for p in (1.0, 0.3, 2.0)
    ]
    measures = bounds.task_measures(turns)
    assert [m.value for m in measures] == pytest.approx([0.9, 0.7])
    assert [m.ok for m in measures] == [True, False]


def test_good_rows_are_compared_with_themselves_alone_if_every_bad_one_was_refused() -> None:
    refused = load(not_2xx=100, refused=100)
    turns = [
        {"alone": load(ms=p), "beside": load(ms=1.1 * p), "bad rows": refused} for p in (1.0, 2.0)
    ]
    assert [m.value for m in bounds.bad_row_measures(turns)] == pytest.approx([1.1])
    for not_all in (
        load(not_2xx=99, refused=99), load(not_2xx=100, refused=100, broken=1), load(answered=0),
        load(not_2xx=100, refused=99),  # one was a fault of the gateway
    ):  # fmt: skip
        turns[1] = {**turns[1], "bad rows": not_all}
        assert not bounds.bad_row_measures(turns)[0].ok
    turns[1] = {**turns[0], "beside": load(not_2xx=1)}
    assert not bounds.bad_row_measures(turns)[0].ok


def test_bad_rows_are_of_every_kind_and_the_gateway_takes_none() -> None:
    names = [f"flight-{i:04d}" for i in range(12)]
    rows = np.ones((12, 30))
    specs = [FeatureSpec(name, "v", FeatureType.NUMBER) for name in FEATURES]
    specs.append(FeatureSpec("flight", "v", FeatureType.CATEGORY, known=tuple(names)))
    decoder = make_decoder(specs)
    bodies = list(more_models.bad_bodies(rows, names))
    assert len(bodies) == 12
    assert len(set(bodies[: len(more_models.BROKEN)])) == len(more_models.BROKEN) >= 5
    for body in bodies:
        with pytest.raises(msgspec.MsgspecError):
            decoder.decode(body)
    for body in more_models._good_bodies(rows, names):
        decoder.decode(body)


def test_flights_have_thousands_of_names_and_delays_ten_equal_bands() -> None:
    count = 1_000
    values = np.zeros((count, 30))
    values[:, FEATURES.index("flight_number")] = np.arange(count)
    delay = np.linspace(-500.0, 499.0, count)
    rows = Rows(np.zeros(count), np.zeros(count), values, delay)
    assert len(set(more_models.flight_names(rows))) == count
    labels = more_models.Labels.of(rows)
    assert np.bincount(labels.band).tolist() == [100] * 10
    assert (labels.delay.min(), labels.delay.max()) == (-120.0, 120.0)


def test_equal_trees_are_counted_not_assumed() -> None:
    binary = SimpleNamespace(n_iter_=100, n_trees_per_iteration_=1)
    multiclass = SimpleNamespace(n_iter_=10, n_trees_per_iteration_=10)
    assert more_models.count_trees(binary) == more_models.count_trees(multiclass) == 100


def test_a_model_of_another_task_has_the_same_features() -> None:
    rows = Rows(np.zeros(2), np.zeros(2), np.arange(60.0).reshape(2, 30), np.zeros(2))
    body = model_body("other", rows)
    assert [name for view in body["features"].values() for name in view] == list(FEATURES)
