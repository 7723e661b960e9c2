"""The benchmark of rollouts: it writes what it promises, and its checks can fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench_rollout import EQUAL, PAGE, WORSE, lower_95, main, measures_of, table_of
from rollout_worlds import PEERS, Driven, World, drive, peers

from windvane.core.rollout import GatePolicy

QUICK = GatePolicy(soak_s=0.0, outcomes=False)


def driven(end: str, many: int, minute: int = 10) -> list[Driven]:
    return [Driven(end, minute, 0)] * many


def test_it_writes_its_measures_and_worlds(tmp_path: Path) -> None:
    out = tmp_path / "rollout.json"
    assert main(["--quick", "--only", "30% of 504s", "--out", str(out)]) == 0
    written = json.loads(out.read_text())
    (line,) = written["informational"]
    assert (line["world"], line["rollouts"], line["promoted"]) == ("30% of 504s", 2, 0.0)
    assert [m["measure"] for m in written["measures"]] == ["30% of 504s: promoted (share)"]


def test_an_unknown_world_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--only", "nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().out


def test_every_bound_can_be_missed() -> None:
    bad = {
        **{name: driven("rolled back", 20) for name in EQUAL},
        **{name: driven("promoted", 20, 99) for name in WORSE},
    }
    assert not any(m.ok for m in measures_of(bad))


def test_a_few_rollbacks_by_chance_miss_no_bound() -> None:
    found = {"2% errors": [*driven("rolled back", 5), *driven("promoted", 95)]}
    (measure,) = measures_of(found)
    assert measure.ok
    assert 0.0 < lower_95(5, 100) < 0.05 < lower_95(12, 100)


def test_what_was_not_measured_is_no_number() -> None:
    (line,) = table_of({"2% errors": driven("held", 2)}, {})
    assert line["minutes to promote"] != line["minutes to promote"]
    assert all(line[f"{peer}: rolled back"] != 0.0 for peer in PEERS)


def test_a_peer_that_looks_at_each_minute_goes_back_without_a_reason() -> None:
    world = World(always=0.01, base=0.0)
    told = [peers(world, seed, minutes=90) for seed in range(12)]
    assert sum(one["peeking z-test"] is not None for one in told) >= 3
    assert all(drive(world, seed, QUICK, minutes=30).end != "rolled back" for seed in range(4))


def test_three_bad_minutes_are_three_in_a_row() -> None:
    told = peers(World(base=0.2), 1, minutes=10)
    assert told["3 bad minutes"] is not None
    assert told["3 bad minutes"] >= 3
    assert peers(World(base=0.0), 1, minutes=10) == dict.fromkeys(PEERS)


def test_the_page_has_a_place_for_them() -> None:
    assert "<!-- rollouts -->" in PAGE.read_text()
