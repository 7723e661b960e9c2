"""The serving benchmark's groups of rows: which are run, side by side, and what is told of them."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bench_serving import (
    BAD_ROWS,
    GROUPS,
    OF_SERVERS,
    SAME_RATE,
    Results,
    at_same_rates,
    chosen,
    measure_groups,
    notes_of,
    or_nothing,
)
from results import read_options
from serving import bounds, many_rows
from serving.bounds import AT_2000, AT_PEERS_HALF
from serving.load import Load
from serving.measuring import FULL, MODES, QUICK, SHORT, Bench, Measured, Turns
from serving.peers import all_onnx_mlservers
from serving.processes import ServerFailed
from serving.servers import Kind
from serving.windvane_server import ALL_IN, ECHO

MLSERVERS = [server.name for server in all_onnx_mlservers()]


def load(rps: float = 100.0, ms: float = 1.0, *, not_2xx: int = 0) -> Load:
    return Load(rps, ms, 2 * ms, 3 * ms, 100, not_2xx, 0)


def found() -> dict[str, Measured]:
    """Two peers; the slower one has the shorter p99."""
    peers = (("slow", 200.0, 2.0), ("fast", 400.0, 5.0))
    return {
        name: Measured(name, Kind.PEER, "", {64: load(rps, ms)}, rps / 2, load(rps / 2, ms))
        for name, rps, ms in peers
    }


def test_the_peer_at_the_same_rate_is_the_fastest_that_failed_nothing() -> None:
    held = found()
    assert bounds.peers_by_capacity(held) == ["fast", "slow"]
    held["broken"] = Measured("broken", Kind.PEER, "", {64: load(9e9, not_2xx=1)}, 1.0, load())
    assert bounds.peers_by_capacity(held) == ["fast", "slow"]


def test_at_the_same_rate_both_get_half_of_what_the_peer_just_did(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, float]] = []

    class Up:
        def __init__(self, name: str) -> None:
            self.name = name

        def awake(self) -> AbstractContextManager[None]:
            return nullcontext()

        def closed(self, _seconds: float) -> Load:
            assert self.name == "peer"
            return load(300.0)

        def fixed(self, rate: float, _seconds: float) -> Load:
            asked.append((self.name, rate))
            return load(rate)

    ups = [Up(ALL_IN), Up(ECHO), Up("peer")]
    monkeypatch.setattr(Bench, "side_by_side", lambda *_: nullcontext(ups))
    bench = Bench.__new__(Bench)
    bench.say = lambda _text: None
    servers: Any = [SimpleNamespace(name=up.name) for up in ups]
    peer, turns = at_same_rates(bench, servers, ["gone", "peer"], Turns(turns_at_same=2))
    assert peer == "peer"
    assert asked == [
        (ALL_IN, 150.0), ("peer", 150.0), (ALL_IN, 2_000.0), (ECHO, 2_000.0),
        ("peer", 150.0), (ALL_IN, 150.0), (ECHO, 2_000.0), (ALL_IN, 2_000.0),
    ]  # fmt: skip
    assert [sorted(turn) for turn in turns] == [[AT_2000, AT_PEERS_HALF]] * 2
    asked.clear()
    peer, turns = at_same_rates(bench, servers, [], Turns(turns_at_same=1))
    assert (peer, [list(turn) for turn in turns]) == ("", [[AT_2000]])


def test_the_same_rate_is_held_to_the_peer_and_to_the_floor() -> None:
    turns = [
        {
            AT_PEERS_HALF: {ALL_IN: load(ms=0.5 * pace), "peer": load(ms=2.0 * pace)},
            AT_2000: {ALL_IN: load(ms=2.0 * pace), ECHO: load(ms=0.8 * pace)},
        }
        for pace in (1.0, 3.0)
    ]
    measures = bounds.same_rate_measures(turns, "peer")
    assert [m.value for m in measures] == pytest.approx([0.25, 2.5])
    assert all(m.ok for m in measures)
    only_floor = [{AT_2000: turn[AT_2000]} for turn in turns]
    assert [m.ok for m in bounds.same_rate_measures(only_floor, "")] == [False, True]
    turns[1][AT_2000][ECHO] = load(not_2xx=1)
    assert [m.ok for m in bounds.same_rate_measures(turns, "peer")] == [True, False]


def test_groups_are_chosen_by_name_and_servers_by_a_part_of_theirs() -> None:
    assert chosen("") == (frozenset(GROUPS), "", "")
    assert chosen("bad-rows, same-rate") == (frozenset({BAD_ROWS, SAME_RATE}), "", "")
    assert chosen("same-rate,mlserver") == (frozenset({SAME_RATE}), "", "mlserver")
    assert chosen("ray,mlflow") == (frozenset(OF_SERVERS), "ray,mlflow", "ray,mlflow")


def test_a_group_that_fails_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    message: list[str] = []
    bench: Any = SimpleNamespace(say=message.append)

    def fails(*_: object) -> list[Any]:
        raise ServerFailed("gone")

    monkeypatch.setattr("bench_serving.take_many_rows", fails)
    monkeypatch.setattr("bench_serving.add_models", lambda _: "model")
    monkeypatch.setattr("bench_serving.take_tasks", fails)
    turn = {"alone": load()}
    monkeypatch.setattr("bench_serving.take_bad_rows", lambda *_: [turn])
    groups = frozenset({"many-rows", "tasks", "bad-rows"})
    held = measure_groups(bench, bench, groups, [], [], QUICK)
    assert (held.many_rows, held.tasks, held.bad_rows) == ([], [], [turn])
    assert message == ["many rows: FAILED: gone", "tasks: FAILED: gone"]


def test_who_ends_the_run_ends_it_and_a_command_that_failed_does_not() -> None:
    bench: Any = SimpleNamespace(say=lambda _: None)

    def ends(code: int | str) -> Any:
        raise SystemExit(code)

    assert or_nothing(bench, "a command", lambda: ends("apply failed: ...")) == []
    with pytest.raises(SystemExit):
        or_nothing(bench, "SIGTERM", lambda: ends(143))


def test_a_results_file_says_which_mode_it_was_and_all_measure_every_row() -> None:
    assert {name: mode.name for name, mode in MODES.items()} == {
        "full": "full", "short": "short", "quick": "quick",
    }  # fmt: skip
    for mode in MODES.values():
        assert {1, 64} <= set(mode.ours.concurrencies) & set(mode.peers.concurrencies)
        turns = mode.turns
        assert min(
            turns.turns, turns.turns_at_half, turns.turns_at_same, turns.turns_of_many_rows,
            turns.turns_of_tasks, turns.turns_of_bad_rows,
        ) >= 1  # fmt: skip
    assert SHORT.turns.turns < FULL.turns.turns


def test_short_is_offered_where_there_is_help_for_it() -> None:
    more = {"about": "", "only": "", "out": Path("out.json")}
    assert read_options(["--short"], short="fewer turns", **more).short
    for refused in (["--short", "--quick"], ["--short"]):
        with pytest.raises(SystemExit):
            read_options(refused, short="fewer turns" if len(refused) == 2 else "", **more)


def test_every_load_that_was_measured_is_in_the_results() -> None:
    turn = {"a": load(), "b": load()}
    many = dict.fromkeys(many_rows.PROTOCOLS, turn)
    many_turn: Any = {
        p: {name: load() for name in (many_rows.OURS, *MLSERVERS, many_rows.ECHO_HTTP,
                                      many_rows.ECHO_GRPC)} for p in many
    }  # fmt: skip
    held = Results(
        found(), [turn], [turn], [turn], "slow", [turn], [{AT_2000: turn}], "slow",
        [many_turn], [turn], [turn],
    )  # fmt: skip
    notes = json.loads(json.dumps(notes_of(held), allow_nan=False))
    kinds = [next(iter(note)) for note in notes]
    assert {k: kinds.count(k) for k in kinds} == {
        "server": 2, "turn": 1, "half": 2, "old_commit": 1, "tasks": 1, "bad_rows": 1,
        "same_rate": 1, "many_rows": 1, "rows": 4,
    }  # fmt: skip


def test_groups_without_many_rows_have_notes_too() -> None:
    """Else a run of them ended without its results."""
    assert notes_of(Results()) == []
