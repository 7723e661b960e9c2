"""Two workers on one machine: one limit, one sum of counts, and no request lost between them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from apps.prometheus import read
from journeys.gateway_load import (
    HttpResponse,
    Line,
    Lost,
    alive,
    ask,
    body_of,
    both_workers,
    crowd,
    pids,
    request,
    up,
)
from journeys.installation import MODEL, Installation, loaded, wait_until

from windvane.adapters.files import FileRoutingFeed

WORKERS = ("gateway", "gateway-1")


@pytest.fixture
def running(home: Installation) -> Iterator[Installation]:
    up(home, workers=2)
    yield home
    home.stop()


def gateway_pids(home: Installation) -> dict[str, int]:
    return {name: pid for name, pid in pids(home).items() if name.startswith("gateway")}


def counted(home: Installation) -> dict[str, float]:
    """Answered and refused requests by code, as Prometheus would read them."""
    text = httpx.get(f"http://127.0.0.1:{home.console_port}/metrics", timeout=10.0).text
    out: dict[str, float] = {}
    for labels, value in read(text).get("windvane_requests_total", {}).items():
        found = dict(labels)
        assert found["tenant"] in ("acme", ""), found
        out[found["code"]] = out.get(found["code"], 0.0) + value
    return out


def test_a_rate_is_exact_over_the_workers(running: Installation) -> None:
    """A fresh tenant's window: of 200 requests by eight clients at once, 60 are let in."""
    running.cli("limit", "fresh", "--rate", "60 per 50s")
    key = running.cli("key", "issue", "fresh").strip()
    known = {"windvane-version": "x"}  # refused for its version before it is counted
    wait_until("the key is known", lambda: ask(running, key, headers=known).status == 400, 5.0)
    told = both_workers(running, key, headers=known)
    assert {a.status for a in told.values()} == {400}, "a worker does not know the key yet"
    answers: list[HttpResponse] = []

    def many() -> None:
        line = Line(running.port)
        for _ in range(25):
            answers.append(line.ask(request(key, body_of())))
        line.close()

    threads = [threading.Thread(target=many) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [a.status for a in answers].count(200) == 60
    refused = [a for a in answers if a.status != 200]
    assert {(a.status, a.code) for a in refused} == {(429, "GAT-109")}
    assert len({a.worker for a in answers}) == 2
    for answer in answers:
        assert answer.headers["ratelimit-policy"] == '"tenant";q=60;w=50'
        assert answer.headers["ratelimit"].startswith('"tenant";r=')
    assert all(1 <= int(a.headers["retry-after"]) <= 50 for a in refused)
    left = [int(a.headers["ratelimit"].split(";")[1][2:]) for a in answers if a.status == 200]
    assert sorted(left) == list(range(60)), "each place is told once"


def test_a_cap_is_exact_over_the_workers_and_a_killed_one_frees_its_places(
    running: Installation,
) -> None:
    """Slow clients hold the places: their bodies have not come yet."""
    cap = 6
    running.cli("limit", "acme", "--concurrent", str(cap))
    whole = request(running.key, body_of())
    lines: list[Line] = []

    def begin(count: int) -> list[Line]:
        fresh = [Line(running.port) for _ in range(count)]
        for line in fresh:
            line.send(whole[:-10])
        lines.extend(fresh)
        return fresh

    def split(given: list[Line]) -> tuple[list[Line], list[Line]]:
        """(those that wait for their body's end, those that were refused at once)"""
        wait_until(
            "what is over the cap is refused",
            lambda: sum(not line.heard() for line in given) <= cap, 10.0,
        )  # fmt: skip
        held = [line for line in given if not line.heard(0.05)]
        refused = [line for line in given if line not in held]
        for line in refused:
            answer = line.hear()
            assert (answer.status, answer.code) == (429, "GAT-109")
            line.close()
        return held, refused

    def capped() -> bool:
        """Both workers know of the cap."""
        held, refused = split_quietly(begin(4 * cap))
        for line in held:
            line.send(whole[-10:])
            line.hear()
        return len(held) == cap and len(refused) == 3 * cap

    def split_quietly(given: list[Line]) -> tuple[list[Line], list[Line]]:
        held = [line for line in given if not line.heard(0.1)]
        refused = [line for line in given if line not in held]
        for line in refused:
            line.hear()
            line.close()
        return held, refused

    wait_until("the cap is known", capped, 15.0)
    for _ in range(3):
        held, refused = split(begin(3 * cap))
        assert (len(held), len(refused)) == (cap, 2 * cap)
        for line in held:
            line.send(whole[-10:])
            assert line.hear().status == 200
    held, _ = split(begin(3 * cap))
    assert len(held) == cap
    victim = gateway_pids(running)["gateway"]
    os.kill(victim, signal.SIGKILL)
    wait_until("it is started again", lambda: gateway_pids(running)["gateway"] != victim, 20.0)
    wait_until("two workers answer", lambda: _ready(running), 20.0)
    dead = [line for line in held if line.heard(0.1)]
    for line in dead:
        with pytest.raises(Lost):
            line.hear()
    left = [line for line in held if line not in dead]

    def freed() -> bool:
        again, _ = split_quietly(begin(2 * cap))
        done = len(again) == len(dead)
        for line in again:
            line.send(whole[-10:])
            assert line.hear().status == 200
        return done

    wait_until(f"{len(dead)} places are free again, and no more", freed, 20.0)
    for line in left:
        line.send(whole[-10:])
        assert line.hear().status == 200
    wait_until("all places are free", capped, 20.0)
    for line in lines:
        line.close()


def _ready(home: Installation) -> bool:
    """Whether two different workers answer."""
    seen = set[str]()
    lines = [Line(home.port) for _ in range(12)]
    for line in lines:
        line.send(request("", b"", method="GET", path="/v1/models", close=True))
    for line in lines:
        seen.add(line.hear().worker)
        line.close()
    return len(seen) == 2


def test_a_killed_worker_loses_nothing_that_was_acknowledged(running: Installation) -> None:
    with loaded(running, clients=4) as load:
        for name in WORKERS:
            load.wait_for(150)
            victim = pids(running)[name]
            os.kill(victim, signal.SIGKILL)
            wait_until("it is started again", lambda n=name, v=victim: pids(running)[n] != v, 30.0)
        load.wait_for(150)
    assert load.refused == []
    wait_until(
        "the log has what was acknowledged", lambda: load.acknowledged <= set(running.logged())
    )
    logged = running.logged()
    assert len(logged) == len(set(logged))
    wait_until("the windows count the log", lambda: running.counted() == len(running.logged()))


def test_a_rolling_restart_under_load_loses_and_fails_no_request(running: Installation) -> None:
    answered = 0
    with crowd(running, clients=4) as load:
        for _ in range(2):
            load.wait_for(200)
            before = set(gateway_pids(running).values())
            running.cli("restart")
            wait_until(
                "every worker has a successor",
                lambda b=before: len(_living(running) - b) == 2 and not any(map(alive, b)), 60.0,
            )  # fmt: skip
            load.wait_for(200)
    answered = len(load.answers)
    assert load.lost == []
    assert load.refused == []
    print(f"\n{answered} requests over two rolling restarts, none lost")
    workers = {a.worker for a in load.answers}
    assert len(workers) >= 4, "each of the workers answered"
    wait_until(
        "the sum of all workers' counts is what was answered",
        lambda: counted(running).get("200") == answered, 15.0,
    )  # fmt: skip
    wait_until("each is in the log", lambda: len(running.logged()) == answered)


def graphs(home: Installation) -> list[Path]:
    """The files of the versions that the table names; a copy of a home has those of the first."""
    table = FileRoutingFeed(home.settings.routing_file).latest()
    assert table is not None
    return [
        Path(entry.artifact) / "model.onnx"
        for route in table.models.values()
        for entry in route.versions
    ]


def test_a_restart_that_would_lose_a_version_leaves_the_workers_that_have_it(
    running: Installation,
) -> None:
    before = gateway_pids(running)
    kept = {graph: graph.read_bytes() for graph in graphs(running)}
    try:
        for graph in kept:
            graph.write_bytes(b"damaged")
        done = running.command("restart")
    finally:
        for graph, content in kept.items():
            graph.write_bytes(content)
    assert done.returncode == 1
    assert "SUP-103" in done.stderr
    assert "GAT-131" in done.stderr, "the end of the new worker's log"
    assert gateway_pids(running) == before
    assert ask(running).status == 200
    running.cli("restart")
    assert ask(running).status == 200


def _living(home: Installation) -> set[int]:
    """Pids of gateway workers that live, also of those whose name was taken over since."""
    lines = (home.home / "pids").read_text().splitlines()
    found = {int(line.split()[1]) for line in lines if line.startswith("gateway")}
    return set(filter(alive, found))


def test_a_worker_that_is_told_to_stop_answers_what_it_has_begun(running: Installation) -> None:
    """A request whose body is still coming, and one on an idle connection, under load."""
    whole = request(running.key, body_of())
    with crowd(running, clients=3) as load:
        load.wait_for(50)
        for name in WORKERS:
            victim = pids(running)[name]
            slow, idle = _spread(running, whole), _spread(running, whole)
            for line, _ in slow:
                line.send(whole[:-10])
            os.kill(victim, signal.SIGTERM)
            leaving = _leaving(idle, whole)
            for line, worker in slow:
                line.send(whole[-10:])
                answer = line.hear()
                assert answer.status == 200
                assert answer.worker == worker
                assert (answer.headers.get("connection") == "close") is (worker == leaving)
            wait_until("it ends", lambda v=victim: not alive(v), 30.0)
            wait_until("it is started again", lambda n=name, v=victim: pids(running)[n] != v, 30.0)
            load.wait_for(50)
            for line, _ in (*slow, *idle):
                line.close()
    assert load.lost == []
    assert load.refused == []


def _spread(home: Installation, whole: bytes) -> list[tuple[Line, str]]:
    """Connections that were used once, with the worker of each; a few of both workers'."""
    out: list[tuple[Line, str]] = []

    def enough() -> bool:
        for _ in range(8):
            line = Line(home.port)
            out.append((line, line.ask(whole).worker))
        counts = Counter(worker for _, worker in out)
        return len(counts) == 2 and min(counts.values()) >= 2

    wait_until("both workers have connections", enough, 20.0)
    return out


def _leaving(lines: list[tuple[Line, str]], whole: bytes) -> str:
    """The worker that tells its clients to close; every answer is a good one."""
    found: list[str] = []

    def told() -> bool:
        for line, worker in lines:
            answer = line.ask(whole)
            assert answer.status == 200
            if answer.headers.get("connection") == "close":
                found.append(worker)
                return True
        return False

    wait_until("a worker tells its clients to close", told, 10.0)
    return found[0]


def test_every_workers_events_are_recorded_while_none_of_them_ever_pauses(
    running: Installation,
) -> None:
    with crowd(running, clients=4, pause_s=0.002) as load:
        load.wait_for(200)
        begun = time.time()

        def reached() -> list[float]:
            with running.store() as store, store.read() as tx:
                return [c.watermark for c in tx.checkpoints() if c.watermark > begun]

        wait_until("both spools are read", lambda: len(reached()) == 2, 15.0)
    assert load.lost == []


def test_the_metrics_are_sums_over_the_workers(running: Installation) -> None:
    before = counted(running)
    workers = set[str]()
    calls = 0
    while len(workers) < 2 or calls < 40:
        workers |= {ask(running).worker}
        calls += 1
        assert calls < 2_000
    bad = body_of({"distance": -1.0, "kind": "van", "rain": 0.0})
    refused = [ask(running, given=bad) for _ in range(7)]
    assert {a.status for a in refused} == {422}

    def sums() -> tuple[float, float]:
        now = counted(running)
        return (
            now.get("200", 0.0) - before.get("200", 0.0),
            now.get("CON-110", 0.0) - before.get("CON-110", 0.0),
        )

    wait_until("the counts are posted", lambda: sums() == (calls, 7), 10.0)
    text = httpx.get(f"http://127.0.0.1:{running.console_port}/metrics", timeout=10.0).text
    found = read(text)
    assert {dict(k)["worker"] for k in found["windvane_start_time_seconds"]} == {
        "gateway-0", "gateway-1",
    }  # fmt: skip
    assert sum(found["windvane_request_seconds_count"].values()) == counted(running)["200"]
    assert {dict(k)["model"] for k in found["windvane_rows_total"]} == {MODEL}
