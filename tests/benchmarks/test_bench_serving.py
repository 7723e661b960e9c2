"""The serving benchmark's arithmetic: what it reads from load generators, what it holds to."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from bench_serving import (
    GROUPS,
    LOCKS,
    OF_SERVERS,
    Results,
    beside_a_peer,
    full_turns,
    half_turns,
    measures_of,
    peer_versions,
    wanted,
)
from results import Measure, missed_by
from serving import shapes
from serving.bounds import by_turns, p99, peers_at_half, rps
from serving.load import Load, LoadGenerator, Requests, median, parse_load
from serving.measuring import Bench, Measured, Turns, Up, merge
from serving.processes import Running, ServerFailed, adopt_orphans
from serving.rows import FEATURES, VIEWS, Rows
from serving.servers import Kind
from serving.windvane_server import ALL_IN, BARE, BATCH, CROWDED, REGISTERED

WRK = """Running 3s test @ http://127.0.0.1:9100
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    14.89ms    2.50ms  25.31ms   79.13%
  12878 requests in 3.00s, 3.93MB read
Requests/sec:   4287.98
Transfer/sec:      1.31MB
answered=12878 seconds=3.003274 not_2xx=2 broken=1 p50_us=14630 p99_us=22104 max_us=25310
"""


def load(rps: float = 100.0, ms: float = 1.0, *, not_2xx: int = 0, answered: int = 100) -> Load:
    return Load(rps, ms, 2 * ms, 3 * ms, answered, not_2xx, 0)


def measured(
    name: str, kind: Kind, rps: float, ms: float = 1.0, worker: float = math.nan, **more: float
) -> Measured:
    loads = {c: load(rps * share, ms * c) for c, share in ((1, 0.5), (64, 1.0))}
    rate = more.get("rate", rps / 2)
    return Measured(name, kind, "", loads, rate, load(rate, ms), worker_mib=worker)


def everything() -> dict[str, Measured]:
    found = [
        measured(ALL_IN, Kind.WINDVANE, 5_000.0, 0.3, 120.0),
        measured(BATCH, Kind.FLOOR, 6_000.0),
        measured(BARE, Kind.VARIANT, 5_500.0),
        measured("slow", Kind.PEER, 200.0, 2.0),
        measured("fast", Kind.PEER, 400.0, 5.0),
        measured("mixed", Kind.MIXED, 4_000.0, 0.1),
    ]
    return {m.name: m for m in found}


def test_what_wrk_printed() -> None:
    found = parse_load(WRK)
    assert found.rps == pytest.approx(12_878 / 3.003274)
    assert (found.p50_ms, found.p99_ms, found.max_ms) == (14.63, 22.104, 25.31)
    assert (found.not_2xx, found.broken, found.clean) == (2, 1, False)


def test_a_generator_that_says_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="printed no result"):
        parse_load("unable to connect to 127.0.0.1:9100 Connection refused\n")


def test_the_median_hides_no_failure() -> None:
    found = median([load(1.0, 5.0), load(9.0, 1.0, not_2xx=3), load(3.0, 2.0)])
    assert (found.rps, found.p50_ms) == (3.0, 2.0)
    assert (found.answered, found.not_2xx, found.clean) == (300, 3, False)


def test_no_answer_at_all_is_not_clean() -> None:
    assert not load(answered=0).clean
    assert not Measured("peer", Kind.PEER, error="not installed").clean


def test_rows_come_again_only_after_all_others() -> None:
    requests = Requests(Path("any"), 10)
    for used, start in ((4, 4), (4, 8), (4, 2), (20, 2)):
        requests.used(used)
        assert requests.start == start


@pytest.fixture
def adopting() -> Iterator[None]:
    """Whoever runs the tests goes on as before: it waits for no orphans of other tests."""
    yield
    adopt_orphans(adopt=False)


@pytest.mark.usefixtures("adopting")
def test_a_server_that_another_is_asked_beside_stands_still(tmp_path: Path) -> None:
    def state(pid: int) -> str:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]

    def are(running: Running, wanted: str) -> bool:
        """A process that was stopped runs on until the kernel's next look at it."""
        until = time.monotonic() + 20.0
        while {state(pid) for pid in running.pids} != {wanted}:
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
        return True

    def start(command: str) -> Running:
        return Running(
            ["sh", "-c", command], core=0, folder=tmp_path, environment={}, log=tmp_path / "log"
        )

    # One has a child that outlives its parent, in a session of its own.
    one = start("(setsid sleep 60 &); sleep 60")
    other = start("sleep 60; true")
    try:
        for running, count in ((one, 3), (other, 2)):
            with running.awake(5.0):
                assert len(running.pids) == count
                assert are(running, "S")
            assert are(running, "T")
        with other.awake(5.0):
            assert are(one, "T")
    finally:
        one.stop()
        assert len(other.pids) == 2
        other.stop()
    assert not one.pids
    assert not other.pids


def test_a_load_says_what_the_hypervisor_took_meanwhile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    taken = iter((7.0, 7.5))
    times = iter((10.0, 15.0))
    monkeypatch.setattr("serving.load.stolen_s", lambda: next(taken))
    monkeypatch.setattr("serving.load.time", SimpleNamespace(monotonic=lambda: next(times)))
    monkeypatch.setattr(
        "serving.load.subprocess.run", lambda *_, **__: SimpleNamespace(returncode=0, stdout=WRK)
    )
    generator = LoadGenerator(tmp_path, 0)
    assert generator.closed(1, Requests(tmp_path, 10), 1, 3.0).stolen == 0.1


TURNS = [
    {ALL_IN: load(5_000.0 * pace), BATCH: load(6_000.0 * pace), BARE: load(5_500.0 * pace)}
    for pace in (1.0, 0.4, 2.0)
]


def test_turns_are_compared_each_by_itself() -> None:
    odd = {ALL_IN: load(1.0), BATCH: load(9.0), BARE: load(9.0)}
    assert by_turns([*TURNS, odd], ALL_IN, BATCH, rps) == pytest.approx(5 / 6)
    assert math.isnan(by_turns([], ALL_IN, BATCH, rps))
    assert math.isnan(by_turns([{ALL_IN: load(1.0)}], ALL_IN, BATCH, rps))
    broken = {**odd, ALL_IN: load(1.0, not_2xx=1)}
    assert math.isnan(by_turns([*TURNS, broken], ALL_IN, BATCH, rps))
    assert by_turns([*TURNS, broken], BARE, BATCH, rps) == pytest.approx(5.5 / 6)


def test_several_rounds_are_one_by_medians_and_a_failed_one_stands_for_all() -> None:
    rounds = [measured(ALL_IN, Kind.WINDVANE, rps, ms, worker) for rps, ms, worker in (
        (100.0, 3.0, 80.0), (300.0, 1.0, 90.0), (200.0, 2.0, 85.0),
    )]  # fmt: skip
    merged = merge(rounds)
    assert (merged.capacity, merged.rate, merged.worker_mib) == (200.0, 100.0, 90.0)
    assert merged.loads[1].p50_ms == 2.0
    failed = Measured(ALL_IN, Kind.WINDVANE, error="gone")
    assert merge([*rounds, failed]) is failed
    assert merge(rounds[:1]) is rounds[0]


HALVES = [
    {
        ALL_IN: load(2_500.0, ours),
        REGISTERED: load(2_500.0, 1.1 * ours),
        CROWDED: load(2_500.0, 1.2 * ours),
        "slow": load(100.0, 2.0),
    }
    for ours in (0.3, 0.5, 0.4)
]


def results(found: dict[str, Measured], turns: Any, halves: Any, peer: str) -> Results:
    return Results(found=found, turns=turns, tenants=halves, halves=halves, half_peer=peer)


def of_servers(held: Results) -> list[Measure]:
    return measures_of(held, frozenset(OF_SERVERS))


def test_windvane_is_held_against_the_best_peer_of_each_figure() -> None:
    measures = of_servers(results(everything(), TURNS, HALVES, "slow"))
    assert [m.value for m in measures] == pytest.approx(
        [5_000 / 400, 0.3 / 2.0, 120.0, 5_000 / 6_000, 5_000 / 5_500, 0.4 / 2.0, 1.1, 1.2]
    )
    assert all(m.ok for m in measures)


def test_each_bound_can_be_missed() -> None:
    found = everything()
    found[ALL_IN] = measured(ALL_IN, Kind.WINDVANE, 4_000.0, 0.9, 151.0, rate=2_500.0)
    slow = [{ALL_IN: load(4_000.0), BATCH: load(6_000.0), BARE: load(5_500.0)}]
    late = [
        {
            ALL_IN: load(ms=0.9), REGISTERED: load(ms=1.8), CROWDED: load(ms=1.2),
            "slow": load(ms=2.0),
        }
    ]  # fmt: skip
    assert [missed_by(m) for m in of_servers(results(found, slow, late, "slow"))] == [
        "missed by 17%", "missed by 29%", "missed by 1%", "missed by 11%", "missed by 19%",
        "missed by 50%", "missed by 54%", "missed by 3%",
    ]  # fmt: skip


def test_a_failure_is_no_figure() -> None:
    found = everything()
    fast = found["fast"]
    found["fast"] = Measured("fast", Kind.PEER, "", {64: load(9e9, not_2xx=1)}, 1.0, fast.fixed)
    assert of_servers(results(found, TURNS, HALVES, "slow"))[0].value == 5_000 / 200
    found[ALL_IN] = Measured(ALL_IN, Kind.WINDVANE, error="did not come up")
    assert all(missed_by(m) == "not measured" for m in of_servers(results(found, [], [], "")))
    refused = [{name: load(not_2xx=1) for name in HALVES[0]}]
    missing = measures_of(results({}, [], refused, "slow"), frozenset(GROUPS))
    assert [m.ok for m in missing] == [False] * 18


def test_the_peer_at_half_is_the_one_with_the_shortest_p99_that_failed_nothing() -> None:
    found = everything()
    assert peers_at_half(found) == ["slow", "fast"]
    fast = found["fast"]
    quick = load(100.0, 0.1, not_2xx=1)
    found["broken"] = Measured("broken", Kind.PEER, "", fast.loads, 1.0, quick)
    assert peers_at_half(found) == ["slow", "fast"]
    del found["slow"]
    assert peers_at_half(found) == ["fast"]
    assert peers_at_half({}) == []


def test_a_peer_that_does_not_outlive_its_stops_gives_way_to_the_next() -> None:
    names = (ALL_IN, "dies", "lives", "slower")
    servers: Any = [SimpleNamespace(name=name) for name in names]
    message: list[str] = []

    def take(_bench: object, chosen: Sequence[Any]) -> list[dict[str, Load]]:
        if chosen[1].name == "dies":
            raise ServerFailed("dies: connection refused")
        return [{server.name: load() for server in chosen}]

    bench: Any = SimpleNamespace(say=message.append)
    peer, turns = beside_a_peer(bench, servers, names[1:], take)
    assert (peer, [list(turn) for turn in turns]) == ("lives", [[ALL_IN, "lives"]])
    assert message == ["side by side: FAILED: dies: connection refused"]
    assert beside_a_peer(bench, servers, ["dies"], take) == ("", [])


def test_a_load_that_fails_is_told_with_its_server_and_the_last_words() -> None:
    def refused(*_: object) -> Load:
        raise RuntimeError("connect: Connection refused")

    running: Any = SimpleNamespace(last_words=lambda: "out of memory")
    generator: Any = SimpleNamespace(closed=refused, fixed=refused)
    requests: Any = None
    up = Up("peer", 1, requests, running, generator, 64)
    for ask in (lambda: up.closed(1.0), lambda: up.fixed(5.0, 1.0)):
        with pytest.raises(ServerFailed, match=r"peer: connect: Connection refused\nout of memory"):
            ask()


def test_by_turns_each_is_asked_at_half_of_what_it_just_did_and_the_crowd_as_the_lone_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, float]] = []
    awake: list[str] = []

    class Up:
        def __init__(self, name: str, capacities: list[float]) -> None:
            self.name = name
            self.capacities = capacities

        @contextmanager
        def awake(self) -> Iterator[None]:
            awake.append(self.name)
            yield
            assert awake.pop() == self.name

        def closed(self, _seconds: float) -> Load:
            assert awake == [self.name]
            return load(self.capacities.pop(0))

        def fixed(self, rate: float, _seconds: float) -> Load:
            assert awake == [self.name]
            asked.append((self.name, rate))
            return load(rate)

    ups = [Up(ALL_IN, [5_000.0, 3_000.0]), Up(CROWDED, [9.0, 9.0]), Up("peer", [200.0, 100.0])]
    monkeypatch.setattr(Bench, "side_by_side", lambda *_: nullcontext(ups))
    bench = Bench.__new__(Bench)
    bench.say = lambda _text: None
    turns = half_turns(Turns(turns_at_half=2))(bench, [])
    assert asked == [
        (ALL_IN, 2_500.0), (CROWDED, 2_500.0), ("peer", 100.0),
        (ALL_IN, 1_500.0), (CROWDED, 1_500.0), ("peer", 50.0),
    ]  # fmt: skip
    assert by_turns(turns, CROWDED, ALL_IN, p99) == 1.0


def test_each_server_begins_a_turn_as_often_as_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Up:
        def __init__(self, name: str) -> None:
            self.name = name

        def awake(self) -> AbstractContextManager[None]:
            return nullcontext()

        def closed(self, _seconds: float) -> Load:
            asked.append(self.name)
            return load()

    monkeypatch.setattr(Bench, "side_by_side", lambda *_: nullcontext([Up("a"), Up("b")]))
    bench = Bench.__new__(Bench)
    bench.say = lambda _text: None
    assert len(full_turns(Turns(turns=4))(bench, [])) == 4
    assert asked == ["a", "b", "b", "a", "a", "b", "b", "a"]


def test_missed_by_is_empty_where_the_bound_holds() -> None:
    assert missed_by(Measure("m", 1.0, at_least=1.0)) == ""
    assert missed_by(Measure("m", 0.3, at_most=0.2)) == "missed by 50%"
    assert missed_by(Measure("m", math.nan, at_most=0.2)) == "not measured"


@pytest.mark.parametrize(
    ("name", "only", "yes"),
    [("Ray Serve", "", True), ("Ray Serve", "ray", True), ("Ray Serve", "mlflow, serve", True),
     ("FastAPI", "ray", False)],
)  # fmt: skip
def test_only(name: str, only: str, yes: bool) -> None:
    assert wanted(name, only) is yes


def test_results_are_json_without_nan() -> None:
    for m in [*everything().values(), Measured("gone", Kind.PEER, error="not installed")]:
        json.dumps(m.to_dict(), allow_nan=False)


def test_every_row_becomes_a_request_behind_its_length(tmp_path: Path) -> None:
    values = np.arange(90.0).reshape(3, 30)
    path = tmp_path / "requests"
    shape = shapes.spread_windvane(["a", "b"], ["k1", "k2", "k3"])
    shapes.write_requests(path, shape, Rows(np.zeros(3), np.zeros(3), values, np.zeros(3)))
    data = path.read_bytes()
    seen: list[tuple[str, str]] = []
    for row in values:
        size = int.from_bytes(data[:4], "little")
        head, body = data[4 : 4 + size].split(b"\r\n\r\n")
        data = data[4 + size :]
        lines = head.decode().split("\r\n")
        assert f"Content-Length: {len(body)}" in lines
        seen.append((lines[0], next(s for s in lines if s.startswith("Authorization"))[-2:]))
        features = json.loads(body)["instances"][0]["features"]
        assert features == dict(zip(FEATURES, row, strict=True))
    assert data == b""
    assert seen == [
        ("POST /v1/models/a/predict HTTP/1.1", "k1"),
        ("POST /v1/models/b/predict HTTP/1.1", "k2"),
        ("POST /v1/models/a/predict HTTP/1.1", "k3"),
    ]


def test_thirty_features_in_three_views() -> None:
    assert len(FEATURES) == 30
    assert [name for view in VIEWS.values() for name in view] == list(FEATURES)


def test_locks_have_hashes_and_no_address() -> None:
    locks = sorted(LOCKS.glob("*/requirements.txt"))
    assert [lock.parent.name for lock in locks] == sorted(p.name for p in LOCKS.iterdir())
    for lock in locks:
        text = lock.read_text()
        assert "://" not in text
        assert text.count("--hash=sha256:") >= text.count("==") > 10
    assert {name.split(":")[0] for name in peer_versions()} == {lock.parent.name for lock in locks}
