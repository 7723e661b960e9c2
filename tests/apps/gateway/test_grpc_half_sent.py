"""Messages over gRPC that come slowly, or only half: how long, and how much of them, is held."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

import grpc
import pytest
from apps.gateway.forms import MODEL, NUMBERS, number_of
from apps.gateway.http2_wire import DATA, END_STREAM, HEADERS, PING, Wire, frame, head, message
from apps.gateway.live import Live, live
from apps.gateway.test_grpc import AUTH, call, one_row
from hypothesis import given
from hypothesis import strategies as st
from inference.harness import Harness, route

from windvane.apps.gateway.grpc_frames import FrameReader, HalfSent, client_frames, resets
from windvane.apps.gateway.grpc_front import FrontBounds, GrpcFront
from windvane.apps.gateway.protocols.open_inference_messages import SERVICE, ModelInferRequest

WITHIN_S = 20.0
CALM = 0xB
PIECE = message(bytes(20_000))[:10_000]


def _prepare(harness: Harness) -> None:
    harness.predictor(model=MODEL).answers = number_of


@contextmanager
def bounded(bounds: FrontBounds, max_body_bytes: int = 1 << 20) -> Iterator[tuple[Live, GrpcFront]]:
    with live(
        route(contract=NUMBERS),
        prepare=_prepare,
        grpc_bounds=bounds,
        max_body_bytes=max_body_bytes,
    ) as gateway:
        assert gateway.by_grpc.front is not None
        yield gateway, gateway.by_grpc.front


def wait(until: Callable[[], object]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_call_whose_message_does_not_come_is_reset_and_its_connection_goes_on() -> None:
    bounds = FrontBounds(body_s=0.3, sweep_s=0.05)
    with bounded(bounds) as (gateway, front), closing(Wire(gateway.grpc_port)) as wire:
        wire.send(head(1), frame(DATA, 0, 1, message(bytes(50_000))[:10_000]))
        assert wire.reset_or_end() == {1: CALM}
        assert (front.given_up, front.half_sent.total()) == (1, 0)
        body = message(one_row())
        wire.send(frame(DATA, 0, 1, PIECE), head(3), frame(DATA, END_STREAM, 3, body))
        ended = [stream for kind, flags, stream, _ in answered(wire) if flags & END_STREAM]
        assert ended == [3]


def answered(wire: Wire) -> Iterator[tuple[int, int, int, bytes]]:
    """Up to the end of the next call that ends."""
    for one in wire.frames():
        if one[0] in {DATA, HEADERS}:
            yield one
            if one[1] & END_STREAM:
                return


def test_a_frame_that_does_not_end_costs_the_connection() -> None:
    """Nothing can be put into it, and no other call can go on."""
    bounds = FrontBounds(body_s=0.2, frame_s=0.1, sweep_s=0.05)
    with bounded(bounds) as (gateway, front), closing(Wire(gateway.grpc_port)) as wire:
        wire.send(head(1), frame(DATA, END_STREAM, 1, PIECE)[:-1])
        wait(lambda: front.given_up)
        wait(lambda: not front.open)
        assert wire.ends()
        assert front.half_sent.total() == 0


def test_header_lines_that_do_not_end_cost_the_connection() -> None:
    bounds = FrontBounds(body_s=0.2, frame_s=0.1, sweep_s=0.05)
    with bounded(bounds) as (gateway, front), closing(Wire(gateway.grpc_port)) as wire:
        wire.send(head(1, flags=0))
        wait(lambda: not front.open)
        assert wire.ends()


def test_half_sent_messages_of_an_address_are_bounded() -> None:
    """Many calls on several connections: the oldest of the largest go, small ones stay."""
    bounds = FrontBounds(half_sent_per_address=400_000, half_sent=1 << 30, per_address=10)
    with bounded(bounds, max_body_bytes=50_000) as (gateway, front), ExitStack() as opened:
        small = opened.enter_context(closing(Wire(gateway.grpc_port)))
        body = message(one_row())
        small.send(head(1), frame(DATA, 0, 1, body[:10]))
        wait(front.half_sent.total)
        flood = [opened.enter_context(closing(Wire(gateway.grpc_port))) for _ in range(5)]
        part = message(bytes(40_000))[:10_000]
        for stream in range(1, 41, 2):
            for one in flood:
                one.send(head(stream), frame(DATA, 0, stream, part))
        wait(lambda: front.given_up >= 60)
        assert front.half_sent.total() <= 400_000
        assert call(gateway, one_row())
        small.send(frame(DATA, END_STREAM, 1, body[10:]))
        assert [kind for kind, *_ in answered(small)][:2] == [HEADERS, DATA]


def test_half_sent_messages_of_all_addresses_are_bounded() -> None:
    bounds = FrontBounds(half_sent_per_address=1, half_sent=1)
    with (
        bounded(bounds, max_body_bytes=20_000) as (gateway, front),
        closing(Wire(gateway.grpc_port)) as wire,
    ):
        most = bounds.for_messages(20_000).half_sent
        assert most == 4 * (20_000 + 16_384)
        for stream in range(1, 21, 2):
            wire.send(head(stream), frame(DATA, 0, stream, PIECE))
        wait(lambda: front.given_up)
        assert front.half_sent.total() <= most


@contextmanager
def slow_line(port: int) -> Iterator[int]:
    """A port that leads to ``port``, some 6 MB a second towards it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def carry(source: socket.socket, sink: socket.socket, pause_s: float) -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(65_536):
                    sink.sendall(data)
                    time.sleep(pause_s)
                sink.shutdown(socket.SHUT_WR)

        def accept() -> None:
            client, _ = listener.accept()
            with client, socket.create_connection(("127.0.0.1", port)) as server:
                back = threading.Thread(target=carry, args=(server, client, 0.0))
                back.start()
                carry(client, server, 0.01)
                back.join(WITHIN_S)

        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(WITHIN_S)
        assert not thread.is_alive()


def test_a_large_message_on_a_slow_line_goes_through() -> None:
    size = 10_000_000
    bounds = FrontBounds(body_s=10.0, sweep_s=0.05, half_sent=1, half_sent_per_address=1)
    with (
        bounded(bounds, max_body_bytes=size + 1_000) as (gateway, front),
        slow_line(gateway.grpc_port) as port,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        made = ModelInferRequest(model_name=MODEL, raw_input_contents=[bytes(size)])
        ask = channel.unary_unary(f"/{SERVICE}/ModelInfer")
        with pytest.raises(grpc.RpcError, match="1 parts, there are 0 inputs"):
            ask(made.SerializeToString(), metadata=tuple(AUTH.items()), timeout=WITHIN_S)
        assert front.given_up == 0


def test_a_flood_of_empty_frames_costs_the_connection() -> None:
    with bounded(FrontBounds()) as (gateway, front), closing(Wire(gateway.grpc_port)) as wire:
        wire.send(head(1))
        wait(front.half_sent.total)
        with contextlib.suppress(OSError):
            for _ in range(100):
                wire.send(frame(DATA, 0, 1) * 20_000)
        wait(lambda: not front.open)


@given(
    frames=st.lists(
        st.tuples(
            st.sampled_from([DATA, HEADERS, PING]),
            st.sampled_from([4, 5]),
            st.integers(1, 9),
            st.binary(max_size=40),
        ),
        max_size=12,
    ),
    cuts=st.lists(st.integers(0, 400), max_size=12),
)
def test_frames_are_the_same_however_they_are_cut(
    frames: list[tuple[int, int, int, bytes]], cuts: list[int]
) -> None:
    sent = bytes(24) + b"".join(frame(*one) for one in frames)
    reader, whole, found, half = client_frames(), client_frames(), [], HalfSent(1)
    places = sorted({0, *(cut for cut in cuts if cut < len(sent)), len(sent)})
    for i in range(len(places) - 1):
        some = reader.feed(sent[places[i] : places[i + 1]])
        half.note_client(some, reader.left, 0.0)
        found += some
    assert found == whole.feed(sent)
    at_once = HalfSent(1)
    at_once.note_client(found, 0, 0.0)
    assert (half.bytes, len(half)) == (at_once.bytes, len(at_once))
    assert reader.between_frames


def test_a_reset_is_put_between_frames_and_not_into_header_lines() -> None:
    reader = FrameReader()
    one = frame(PING, 0, 0, bytes(8))
    reader.feed(one[:5])
    assert (reader.boundary, reader.between_frames) == (0, False)
    reader.feed(one[5:] + one + one[:12])
    assert (reader.boundary, reader.between_frames) == (len(one) * 2 - 5, False)
    reader.feed(one[12:] + head(1, flags=0))
    assert (reader.boundary, reader.between_frames) == (len(one) - 12, False)
    reader.feed(frame(9, 4, 1, b"x"))
    assert reader.between_frames
    assert resets([5]) == frame(3, 0, 5, bytes([0, 0, 0, CALM]))
