"""Sources whose rows are older than the file declares."""

from __future__ import annotations

from typing import Any

import pytest
from usecases.harness import FILE, MODEL, START, WINDOW_S, Harness
from usecases.timeline import CELSIUS, only, outcomes, play, verdicts

from windvane.core.alerting import Cause, Finding
from windvane.core.verdict import Outcome, RateState, Verdict
from windvane.ports.judging import MonitorState
from windvane.usecases.actions import About
from windvane.usecases.monitors import Judged, watch_policy
from windvane.usecases.monitors.freshness import TENANT_STALE, one_finding_a_tenant
from windvane.usecases.read_model_file import ModelFile, read_model_file
from windvane.usecases.read_objectives import read_objectives
from windvane.usecases.replay_decision import replay_decision

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")

H = 3_600.0
DECLARED = FILE.replace(
    "    temp: {type: number, nullable: true}\n",
    "    temp: {type: number, nullable: true}\n    seen: {type: datetime, nullable: true}\n",
).replace("  errors: 2%\n", "  errors: 2%\n  fresh: {weather: {time: seen, within: 2h}}\n")
FRESH: dict[str, Any] = {"ages": {"AA": [600.0], "UA": [1_800.0]}}
STALE: dict[str, Any] = {"ages": {"AA": [26 * H], "UA": [26 * H]}}


def causes(harness: Harness) -> list[str]:
    return sorted(i.cause for i in harness.incidents() if i.closed_at is None)


@pytest.fixture
def declared(harness: Harness) -> Harness:
    harness.clock.at += 1
    harness.apply(DECLARED)
    return harness


def test_a_source_of_yesterday_is_told_in_its_first_window_and_left_out(declared: Harness) -> None:
    play(declared, [FRESH] * 5)
    assert causes(declared) == []
    play(declared, [STALE], first=5)
    incident = only(declared, "stale_source:weather")
    assert incident.sources == ("weather",)
    assert incident.since == START + 5 * WINDOW_S
    assert "weather: observed 1d 3h ago (median; the oldest 1d 4h)" in incident.title
    assert "allowed 2h; 100.0% of rows not fresh" in incident.title
    assert declared.live.standing_in == "2"
    assert declared.live.broken_views == ("weather",)
    decided = [d for d in declared.decisions() if "freshness" in d.id]
    assert decided
    assert all(replay_decision(d).same for d in decided)


def test_it_ends_by_evidence_and_the_champion_answers_again(declared: Harness) -> None:
    play(declared, [FRESH] * 5 + [STALE] * 5 + [FRESH] * 6)
    assert causes(declared) == []
    assert only(declared, "stale_source:weather").closed_at is not None
    assert declared.live.standing_in is None
    assert declared.live.broken_views == ()


def test_what_one_tenant_sends_too_late_is_that_tenants(declared: Harness) -> None:
    old: dict[str, Any] = {"ages": {"AA": [600.0], "UA": [5 * H]}}
    play(declared, [FRESH] * 5 + [old] * 4)
    assert causes(declared) == ["tenant_stale_source:UA"]
    assert declared.live.stand_ins == {"UA": "2"}
    assert declared.live.broken_views == ()
    play(declared, [FRESH] * 10, first=9)
    assert causes(declared) == []
    assert declared.live.stand_ins == {}


def test_times_that_are_all_gone_are_told_of_who_had_them(declared: Harness) -> None:
    gone: dict[str, Any] = {"ages": {"AA": [600.0], "UA": [None]}}
    play(declared, [FRESH] * 5 + [gone] * 4)
    assert causes(declared) == ["tenant_stale_source:UA"]
    declared.act("accept", About.INCIDENT, incident=only(declared, "tenant_stale_source:UA").id)
    assert declared.live.stand_ins == {}
    play(declared, [gone] * 10, first=9)
    assert causes(declared) == [], "it never had any, as far as is known now"


def test_who_never_had_times_is_no_fault(declared: Harness) -> None:
    play(declared, [{"ages": {"AA": [600.0], "UA": [None]}}] * 12)
    assert declared.incidents() == []


def test_a_view_that_says_nothing_ends_no_tenants_incident(declared: Harness) -> None:
    held = {"plan\tUA": RateState(alarmed=True), "weather\tUA": RateState(alarmed=True)}
    cause = Cause(TENANT_STALE, "UA")
    ended = Finding("freshness", cause, False, 0.0, "weather is back", (), ("weather",))
    verdict = Verdict(Outcome.PASS, "FRE-200", "")
    judged = [Judged("weather\tUA", None, None, verdict, (ended,), {"weather\tUA": RateState()})]
    (one,) = one_finding_a_tenant(judged, held)
    assert one.findings == ()
    (alone,) = one_finding_a_tenant(judged, {"weather\tUA": RateState(alarmed=True)})
    assert alone.findings == (ended,)


def test_a_few_late_rows_are_allowed(declared: Harness) -> None:
    late: dict[str, Any] = {"ages": {"AA": [9 * H, 600.0], "UA": [600.0]}}
    play(declared, [late] * 30)
    assert causes(declared) == []
    assert set(outcomes(declared, "freshness")) == {"P"}


def test_rows_of_the_future_are_none_of_the_fresh(declared: Harness) -> None:
    ahead: dict[str, Any] = {"ages": {"AA": [-H], "UA": [-H]}}
    play(declared, [ahead] * 2)
    assert causes(declared) == ["stale_source:weather"]
    said = verdicts(declared, "freshness")[-1]
    assert "60 of them more than 1m in the future" in said.sentence
    assert said.detail["future"] == 60


def test_clocks_may_differ_by_a_minute(declared: Harness) -> None:
    play(declared, [{"ages": {"AA": [-30.0], "UA": [-59.0]}}] * 5)
    assert set(outcomes(declared, "freshness")) == {"P"}


@pytest.mark.parametrize("window", [{}, {"ages": {"AA": [None], "UA": [None]}}])
def test_rows_that_do_not_say_how_old_they_are_are_held(
    declared: Harness, window: dict[str, Any]
) -> None:
    play(declared, [window] * 5)
    assert set(outcomes(declared, "freshness")) == {"H"}
    assert "when it was observed" in verdicts(declared, "freshness")[-1].sentence


def test_it_is_over_where_the_file_declares_it_no_more(declared: Harness) -> None:
    play(declared, [STALE] * 2)
    assert causes(declared) == ["stale_source:weather"]
    declared.clock.at += 1
    declared.apply(FILE)
    play(declared, [{}], first=2)
    assert causes(declared) == []
    assert declared.carried("freshness") == {}
    assert declared.live.broken_views == ()


def test_old_values_explain_changed_ones_and_what_both_ask_for_stays(declared: Harness) -> None:
    play(declared, [FRESH] * 30)
    play(declared, [{**STALE, **CELSIUS}] * 8, first=30)
    assert causes(declared) == ["stale_source:weather"]
    assert only(declared, "stale_source:weather").members == (
        "freshness/stale_source:weather", "sudden_shift/feed:weather",
    )  # fmt: skip
    play(declared, [{**FRESH, **CELSIUS}] * 6, first=38)
    assert only(declared, "feed:weather").members == ("sudden_shift/feed:weather",)
    assert declared.live.broken_views == ("weather",)
    play(declared, [FRESH] * 20, first=44)
    assert declared.live.broken_views == ()


def test_another_limit_is_exact_from_the_next_window_on(declared: Harness) -> None:
    halves = [7_201.0] * 15 + [7_200.0]
    play(declared, [{"ages": {"AA": halves, "UA": halves}}])
    assert verdicts(declared, "freshness")[-1].detail["not_fresh"] == 0.5
    declared.clock.at += 1
    declared.apply(DECLARED.replace("within: 2h", "within: 7201s"))
    play(declared, [{"ages": {"AA": halves, "UA": [7_202.0]}}], first=1)
    assert verdicts(declared, "freshness")[-1].detail["not_fresh"] == 0.5


def test_a_file_applied_within_a_window_leaves_a_versions_answers_as_they_are(
    declared: Harness,
) -> None:
    play(declared, [FRESH] * 3)
    declared.traffic(3, rows=20, checkpoint=False)
    declared.traffic(3, rows=40, seed=7, **FRESH)
    assert declared.judge()
    said = verdicts(declared, "fallbacks")[-1]
    assert said.detail["rows"] == 60
    assert verdicts(declared, "freshness")[-1].detail["rows"] == 40


def test_an_objective_of_freshness_burns_with_rows_older_than_declared(harness: Harness) -> None:
    """Under what the monitor allows: the objective asks for more."""
    harness.clock.at += 1
    harness.apply(
        DECLARED.replace("within: 2h", "within: 2h, allowed: 40%")
        + "slo: {freshness: {weather: 99%}, over: 1d}\n"
    )
    play(harness, [FRESH] * 3)
    (reading,) = read_objectives(read(harness), states(harness))
    assert (reading.objective.title, reading.seen.bad) == ("freshness weather within 2h", 0)
    some: dict[str, Any] = {"ages": {"AA": [*[3 * H] * 9, 600.0], "UA": [*[-H] * 9, 600.0]}}
    play(harness, [some] * 6, first=3)
    assert causes(harness) == ["slo:freshness weather"]
    incident = only(harness, "slo:freshness weather")
    assert incident.title.startswith("freshness weather within 2h: 99% wanted, burns ")
    assert incident.evidence["tenants"] == [
        {"tenant": "AA", "bad": 9, "events": 30}, {"tenant": "UA", "bad": 9, "events": 30},
    ]  # fmt: skip
    (reading,) = read_objectives(read(harness), states(harness))
    assert (reading.seen.bad, reading.seen.total) == (6 * 18, 9 * 60)
    harness.clock.at += 1
    harness.apply(
        DECLARED.replace("within: 2h", "within: 4h") + "slo: {freshness: {weather: 99%}}\n"
    )
    play(harness, [FRESH], first=9)
    (reading,) = read_objectives(read(harness), states(harness))
    assert reading.seen.total == 60, "another limit begins anew"


def read(harness: Harness) -> ModelFile:
    with harness.store.read() as tx:
        return read_model_file(tx.model(MODEL).text)


def states(harness: Harness) -> list[MonitorState]:
    with harness.store.read() as tx:
        return list(tx.monitor_states([MODEL]))


def test_each_view_of_everyone_and_of_each_tenant_counts_in_the_budget() -> None:
    with_it, without = (read_model_file(text) for text in (DECLARED, FILE))
    more = watch_policy(with_it, models=1, tenants=3).alarm_at
    less = watch_policy(without, models=1, tenants=3).alarm_at
    assert more > less
