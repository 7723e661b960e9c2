"""A feed that breaks: told once, stood in for, and gone back to when it is well."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from usecases.harness import FILE, MODEL, START, Harness, train
from usecases.timeline import (
    CELSIUS,
    NULLS,
    QUIET,
    only,
    outcomes,
    play,
    verdicts,
)

from windvane.usecases.publish_routing import NOTIFY, PUBLISH
from windvane.usecases.read_drift import streams_of
from windvane.usecases.replay_decision import replay_decision

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")


@pytest.fixture
def broken(harness: Harness) -> Harness:
    """Ten quiet windows, then nulls in one feed until it was noticed."""
    play(harness, [QUIET] * 10)
    assert harness.incidents() == []
    for i in range(10, 20):
        play(harness, [NULLS], first=i)
        if harness.incidents():
            return harness
    raise AssertionError("ten windows of nulls were not noticed")


def test_a_broken_feed_is_noticed_told_and_stood_in_for(broken: Harness) -> None:
    incident = only(broken, "feed:weather")
    assert incident.title.startswith("the weather feed changed: temp nulls rose by 8")
    assert incident.since == START + 600.0  # when it began, not when it was noticed
    assert incident.opened_at <= START + 60.0 * 15
    assert broken.timeline(incident)[1] == (
        "version 2, which does not need weather, stands in for version 1 "
        "(AUC 0.700 instead of 0.700 when they were accepted)"
    )
    live = broken.live
    assert (live.champion, live.standing_in, live.broken_views) == ("1", "2", ("weather",))
    (told,) = broken.queued(NOTIFY)
    assert told["title"] == "[medium] delay"
    lines = dict(line.partition(": ")[::2] for line in told["body"].splitlines()[1:])
    assert re.fullmatch(r"temp: nulls 0\.0% -> 8\d\.\d%", lines["changed"])
    assert re.fullmatch(r"tenant (UA|AA): temp missing in .*, usually 0\.0%\)", lines["hurts"])
    assert lines["done"].startswith("version 2, which does not need weather, stands in")
    assert lines["last known good"] == "version 1, before 2023-11-15 00:10 UTC"
    assert lines["to do"] == "ask whoever owns weather what changed there at that time"
    with broken.store.read() as tx:
        table = tx.routing()
    assert table is not None
    assert table.models[MODEL].standing_in == "2"
    assert broken.queued(PUBLISH)[-1]["seq"] == table.seq


def test_its_evidence_names_the_suspect_and_whose(broken: Harness) -> None:
    evidence = only(broken, "feed:weather").evidence
    assert evidence["suspects"][0]["feature"] == "temp"
    assert evidence["kinds"] == ["nulls"]
    assert {row["tenant"] for row in evidence["tenants"]} == {"AA", "UA"}
    assert evidence["last_good"] == {"version": "1", "before": START + 600.0}
    (drawn,) = evidence["histograms"]
    assert drawn["labels"][0] == "null"
    assert drawn["before"][0] == 0
    assert drawn["after"][0] > 50
    assert sum(drawn["before"]) > 1_000
    assert evidence["changes"][0]["nulls"][1] > 0.8


def test_the_decision_replays_to_the_same_verdict(broken: Harness) -> None:
    (decision,) = broken.decisions("fall_back")
    assert replay_decision(decision).same
    assert decision.id == f"{MODEL}/sudden_shift/feed:weather/{decision.facts['window']:.0f}/began"


def test_it_is_told_once_however_long_it_lasts(broken: Harness) -> None:
    began = int(broken.decisions("fall_back")[0].facts["window"] - START) // 60 + 1
    play(broken, [NULLS] * 6, first=began)
    assert len(broken.incidents()) == 1
    assert len(broken.queued(NOTIFY)) == 1
    assert len(broken.decisions("fall_back")) == 1
    assert outcomes(broken, "sudden_shift").endswith("F" * 7)


def test_another_alarm_of_the_same_feed_joins_the_incident(broken: Harness) -> None:
    began = int(broken.decisions("fall_back")[0].facts["window"] - START) // 60 + 1
    play(broken, [CELSIUS] * 8, first=began)
    incident = only(broken, "feed:weather")
    assert incident.evidence["kinds"] == ["nulls", "values"]
    assert len(broken.queued(NOTIFY)) == 1
    assert any("values moved" in line for line in broken.timeline(incident))


def test_a_healed_feed_goes_back_to_the_champion(broken: Harness) -> None:
    began = int(broken.decisions("fall_back")[0].facts["window"] - START) // 60 + 1
    play(broken, [QUIET] * 2, first=began)
    assert broken.live.standing_in == "2"  # not on the first good window
    play(broken, [QUIET] * 2, first=began + 2)
    live = broken.live
    assert (live.standing_in, live.broken_views) == (None, ())
    incident = only(broken, "feed:weather")
    assert incident.closed_at is not None
    assert broken.timeline(incident)[-2:] == ["weather is healthy again", "version 1 answers again"]
    (decision,) = broken.decisions("revert")
    assert replay_decision(decision).same


def test_the_broken_time_is_no_reference_afterwards(broken: Harness) -> None:
    """Once healed, nulls must be news again."""
    began = int(broken.decisions("fall_back")[0].facts["window"] - START) // 60 + 1
    play(broken, [NULLS] * 8 + [QUIET] * 4 + [NULLS] * 8, first=began)
    assert len(broken.decisions("fall_back")) == 2
    assert [i.cause for i in broken.incidents()] == ["feed:weather"] * 2


def test_a_change_of_unit_is_noticed(harness: Harness) -> None:
    play(harness, [QUIET] * 8 + [CELSIUS] * 8)
    incident = only(harness, "feed:weather")
    assert incident.evidence["kinds"] == ["values"]
    assert harness.live.standing_in == "2"


@pytest.mark.parametrize("shape", [{"spoiled_plan": True}, {"stuck": True}])
def test_by_default_a_change_of_unit_or_a_stuck_value_is_material(
    harness: Harness, shape: dict[str, Any]
) -> None:
    harness.clock.at += 1
    harness.apply(FILE.replace("  material: {values: 0.3}\n", ""))
    play(harness, [QUIET] * 8 + [shape] * 12)
    assert [incident.kind for incident in harness.incidents()] == ["feed"]


@pytest.mark.parametrize(
    ("respond", "action", "standing", "told"),
    [("log", "log", None, 0), ("digest", "digest", None, 0),
     ("notify", "notify", None, 1), ("fallback", "fall_back", "2", 1),
     ("rollback", "fall_back", "2", 1)],
)  # fmt: skip
def test_the_response_is_the_files(
    harness: Harness, respond: str, action: str, standing: str | None, told: int
) -> None:
    harness.clock.at += 1
    harness.apply(FILE.replace("watch:\n", f"watch:\n  respond: {{broken_input: {respond}}}\n"))
    play(harness, [QUIET] * 6 + [NULLS] * 8)
    assert [d.action for d in harness.decisions() if d.judge] == [action]
    assert harness.live.standing_in == standing
    assert harness.live.broken_views == ("weather",)
    assert len(harness.queued(NOTIFY)) == told
    assert len(harness.incidents()) == told


def test_without_a_version_that_does_without_it_stays_as_it_is(harness: Harness) -> None:
    """Every version needs the plan; both stay, and the incident says so."""
    play(harness, [QUIET] * 6)
    for i in range(6, 16):
        harness.traffic(i, spoiled_plan=True)
        harness.judge()
    incident = only(harness, "feed:plan")
    assert "no version needs less of plan: left as is" in harness.timeline(incident)
    assert harness.live.standing_in is None


def test_a_look_keeps_the_evidence_of_its_streams_and_what_an_alarm_asks_for(
    broken: Harness,
) -> None:
    looks = [v.detail for v in verdicts(broken, "sudden_shift") if v.subject == ""]
    line = [
        next(r for r in look["readings"] if (r["feature"], r["kind"]) == ("temp", "nulls"))
        for look in looks
        if look["readings"]
    ]
    with broken.store.read() as tx:
        states = {s.subject: s for s in tx.monitor_states([MODEL]) if s.monitor == "sudden_shift"}
    held = streams_of(states["everyone"])["temp/nulls"]
    assert line[-1]["evidence"] == pytest.approx(held.log_evidence, abs=1e-3)
    assert (line[-1]["alarmed"], line[-1]["changed"]) == (True, True)
    assert math.exp(line[-1]["evidence"]) >= looks[-1]["alarm_at"] > 1.0
    assert not line[0]["alarmed"]
    assert line[0]["evidence"] < line[-1]["evidence"]
    assert all(one["looks"] is None or one["looks"] >= 1 for one in line)


ZEROS: dict[str, Any] = {"zeros": 0.6}


@pytest.fixture
def with_zeros(
    empty_harness_of: Callable[[], AbstractContextManager[Harness]],
) -> Iterator[Harness]:
    """Of a model whose distances are 0 in most rows, as amounts and counts are."""
    with empty_harness_of() as harness:
        harness.trained = train(**ZEROS)
        harness.add_keys()
        harness.apply()
        harness.add_version("1")
        harness.put("1")
        yield harness


@pytest.mark.parametrize("sentinel", [-999.0, -1.0])
def test_a_sentinel_in_place_of_zero_is_noticed_as_soon_as_a_change_of_unit(
    with_zeros: Harness, sentinel: float
) -> None:
    play(with_zeros, [ZEROS] * 8)
    assert with_zeros.incidents() == []
    play(with_zeros, [{**ZEROS, "zero": sentinel}] * 8, first=8)
    incident = only(with_zeros, "feed:plan")
    assert incident.since == START + 60.0 * 8
    evidence = incident.evidence
    assert evidence["suspects"][0]["feature"] == "distance"
    assert evidence["changes"][0]["beyond"][0][:2] == ["under 0", 0.0]
    assert evidence["histograms"][0]["labels"][:3] == ["null", "under 0", "0"]


def test_rows_that_all_have_a_sentinel_are_values_hardly_ever_seen(with_zeros: Harness) -> None:
    play(with_zeros, [ZEROS] * 8 + [{"zeros": 1.0, "zero": -999.0}])
    assert "values hardly ever seen" in only(with_zeros, "feed:plan").title
