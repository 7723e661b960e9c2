"""The health service over gRPC, and refusals that are held back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import grpc
import pytest
from apps.gateway.forms import MODEL, NUMBERS, number_of
from apps.gateway.live import Live, live
from apps.gateway.test_grpc import AUTH, WITHIN_S, one_row
from inference.harness import Harness, route, run

from windvane.apps.gateway.grpc_health import HEALTH, HealthService
from windvane.apps.gateway.grpc_service import GrpcCall, GrpcService
from windvane.apps.gateway.protocols.open_inference_messages import SERVICE, message_class
from windvane.core.routing import TenantLimit
from windvane.inference.errors import NoKey, NoSuchModel, RateLimited

KEY = {"authorization": b"Bearer wv_acme"}
SERVING, NOT_SERVING, SERVICE_UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"


def request(name: str) -> bytes:
    return message_class("ModelReadyRequest")(name=name).SerializeToString()


def service_of(harness: Harness) -> GrpcService:
    return GrpcService(harness.worker.engine, harness.app.check_ready, harness.app.throttle)


@pytest.fixture(scope="module")
def gateway() -> Iterator[Live]:
    def prepare(harness: Harness) -> None:
        harness.predictor(model=MODEL).answers = number_of

    with live(route(contract=NUMBERS), prepare=prepare) as found:
        yield found


def test_check_says_what_readiness_says(gateway: Live) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{gateway.grpc_port}") as channel:
        check = channel.unary_unary(f"/{HEALTH}/Check")
        for name in ("", SERVICE, HEALTH):
            assert check(request(name), timeout=WITHIN_S) == SERVING
        assert check(request(MODEL), metadata=tuple(AUTH.items()), timeout=WITHIN_S) == SERVING
        for name, metadata, code in (
            ("none", tuple(AUTH.items()), grpc.StatusCode.NOT_FOUND),
            (MODEL, (), grpc.StatusCode.UNAUTHENTICATED),
        ):
            with pytest.raises(grpc.RpcError) as found:
                check(request(name), metadata=metadata, timeout=WITHIN_S)
            assert found.value.code() is code  # type: ignore[attr-defined]
        watch = channel.unary_stream(f"/{HEALTH}/Watch")(request(""), timeout=WITHIN_S)
        assert next(watch) == SERVING
        gateway.harness.app.draining = True
        try:
            assert next(watch) == NOT_SERVING
            assert check(request(""), timeout=WITHIN_S) == NOT_SERVING
        finally:
            gateway.harness.app.draining = False
        assert next(watch) == SERVING
        watch.cancel()


def test_a_worker_that_stops_says_so_and_waits_for_no_watch() -> None:
    with live(route(contract=NUMBERS)) as gateway:
        channel = grpc.insecure_channel(f"127.0.0.1:{gateway.grpc_port}")
        watch = channel.unary_stream(f"/{HEALTH}/Watch")(request(""), timeout=WITHIN_S)
        assert next(watch) == SERVING
    assert list(watch) == [NOT_SERVING]
    channel.close()


def test_watches_are_bounded_and_follow_what_is_deployed() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        health = HealthService(service_of(harness), most=2, look_s=0.005, repeat_s=0.02)
        model = health.watch(GrpcCall(request("new"), KEY))
        assert await anext(model) == SERVICE_UNKNOWN
        assert await anext(model) == SERVICE_UNKNOWN, "said again after a while"
        await harness.publish(route(), route("new"))
        while (message := await anext(model)) == SERVICE_UNKNOWN:
            pass
        assert message == SERVING
        own = health.watch(GrpcCall(request(""), {}))
        assert await anext(own) == SERVING
        later = health.watch(GrpcCall(request(""), {}))
        assert await anext(later) == SERVING
        assert health.watches == 2
        assert NOT_SERVING not in [message async for message in model], (
            "the oldest made room, and ended"
        )
        await own.aclose()  # type: ignore[attr-defined]
        assert health.watches == 1
        with pytest.raises(NoKey):
            await anext(health.watch(GrpcCall(request("new"), {})))
        with pytest.raises(NoSuchModel):
            await health.check(GrpcCall(request("none"), KEY))
        health.stop()
        assert [message async for message in later][-1] == NOT_SERVING
        assert health.watches == 0

    run(story)


def test_who_is_refused_again_and_again_waits_for_it() -> None:
    """As over HTTP, and counted together with it."""

    async def story(harness: Harness) -> None:
        await harness.publish(route(MODEL, contract=NUMBERS), limits=[TenantLimit("acme", rate=1)])
        harness.predictor(model=MODEL).answers = number_of
        service = service_of(harness)
        call = GrpcCall(one_row(), KEY)
        await service.infer(call)
        with pytest.raises(RateLimited) as refused:
            await service.infer(call)
        for _ in range(200):  # those that may leave at once, of one second or of two
            harness.app.throttle.hold_s("acme", harness.ticks())
        began = time.monotonic()
        waiting = asyncio.create_task(service.hold_back(refused.value))
        await asyncio.sleep(0)
        assert harness.app.throttle.holding == 1
        await waiting
        assert time.monotonic() - began > 0.1
        await service.hold_back(NoKey("a stranger's costs nothing to make"))

    run(story)
