"""Servers that stand still side by side and are woken one at a time, each with its own requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .asks import Ask, Asker
from .load import Load, Requests
from .measuring import SETTLE_WITHIN_S, TOLERANCE, UP_WITHIN_S, Bench, blamed
from .processes import Running, ServerFailed
from .servers import Server, Site


@dataclass(frozen=True, slots=True)
class Asked:
    """A server and what it is asked: ``asks`` are known once it is started; ``port`` says where
    they go. ``on_answer`` gets the first answer to each, by the ask's name."""

    server: Server
    asks: Callable[[Site], Sequence[Ask]]
    port: Callable[[Site, Ask], int] = lambda site, _: site.port
    on_answer: Callable[[str, bytes], object] = lambda _name, _answer: None


class Side:
    """One of them, by the names of its asks."""

    def __init__(self, bench: Bench, asked: Asked, site: Site, running: Running) -> None:
        self.name = asked.server.name
        self._bench = bench
        self._asked = asked
        self._site = site
        self._running = running
        self.asks = {ask.name: ask for ask in asked.asks(site)}
        self._requests = {
            name: Requests(ask.write(bench.folder), ask.count) for name, ask in self.asks.items()
        }

    def check(self) -> None:
        """Wait until it answers, and hold its answers against what is expected. Raises
        ServerFailed."""
        deadline = time.monotonic() + UP_WITHIN_S
        for ask in self.asks.values():
            with Asker(ask, self._asked.port(self._site, ask)) as asker:
                first = self._first_answer(asker, ask, deadline)
                if ask.expected is None:
                    continue
                self._asked.on_answer(ask.name, first)
                found = [ask.read(first)]
                for _, body in zip(ask.expected[1:], self._later(ask), strict=False):
                    ok, answer = asker.send(body)
                    if not ok:
                        raise ServerFailed(f"{self.name}: {ask.name}: {_text(answer)}")
                    found.append(ask.read(answer))
            _compare(f"{self.name}: {ask.name}", np.array(found), ask.expected)

    def _later(self, ask: Ask) -> Generator[bytes]:
        bodies = ask.bodies()
        next(bodies)
        yield from bodies

    def _first_answer(self, asker: Asker, ask: Ask, deadline: float) -> bytes:
        body = next(ask.bodies())
        while True:
            self._running.check()
            ok, answer = asker.send(body)
            if ok or ask.expected is None:
                return answer
            if time.monotonic() > deadline:
                words = self._running.last_words()
                raise ServerFailed(f"{self.name}: {ask.name}: {_text(answer)}\n{words}")
            time.sleep(0.2)

    def closed(self, name: str, connections: int, seconds: float) -> Load:
        """As fast as it answers. gRPC has as many calls under way as its client's constants say."""
        ask, generator = self.asks[name], self._bench.generator
        port = self._asked.port(self._site, ask)
        requests = self._requests[name]
        with self._loaded():
            if ask.grpc:
                return generator.over_grpc(port, requests, ask.path, ask.headers, seconds)
            return generator.closed(port, requests, connections, seconds)

    def fixed(self, name: str, rate: float, seconds: float) -> Load:
        with self._loaded():
            return self._bench.generator.fixed(self._site.port, self._requests[name], rate, seconds)

    def fixed_beside(
        self, name: str, rate: float, other: str, rate_of_other: float, seconds: float
    ) -> tuple[Load, Load]:
        """Requests of two kinds at the same time, each at a rate of its own."""
        with self._loaded():
            return self._bench.generator.fixed_beside(
                self._site.port, self._requests[name], rate, self._requests[other],
                rate_of_other, seconds,
            )  # fmt: skip

    @contextmanager
    def awake(self) -> Generator[None]:
        """It alone goes on."""
        with self._running.awake(SETTLE_WITHIN_S):
            yield

    def freeze(self) -> None:
        self._running.freeze()

    @contextmanager
    def _loaded(self) -> Generator[None]:
        """It is at rest again when a load's figures are given."""
        with blamed(self.name, self._running):
            yield
        self._running.check()
        self._running.settle(SETTLE_WITHIN_S)


@contextmanager
def side_by_side(
    bench: Bench, chosen: Sequence[Asked], warmup_s: float, connections: int
) -> Generator[list[Side]]:
    """All of them: started, held against what is expected, warmed up and standing still. Raises
    one of FAILURES."""
    with ExitStack() as stack:
        sides: list[Side] = []
        for asked in chosen:
            if asked.server.missing:
                raise ServerFailed(f"{asked.server.name}: {asked.server.missing}")
            site, running = stack.enter_context(bench.started(asked.server))
            side = Side(bench, asked, site, running)
            side.check()
            for name, ask in side.asks.items():
                if ask.expected is not None:
                    side.closed(name, connections, warmup_s)
            side.freeze()
            sides.append(side)
        yield sides


def _compare(what: str, found: NDArray[np.float64], expected: NDArray[np.float64]) -> None:
    if found.shape != expected.shape:
        raise ServerFailed(f"{what}: answers of {found.shape} instead of {expected.shape}")
    # Of a probability, or of a number in its own unit where it is beyond one.
    difference = float((np.abs(found - expected) / np.maximum(1.0, np.abs(expected))).max())
    if not difference <= TOLERANCE:
        raise ServerFailed(f"{what}: answers differ by {difference:.2g} from the model's")


def _text(answer: bytes) -> str:
    return answer[:300].decode(errors="replace")
