"""The drift judge as timelines: alarms need evidence and size, heal when calm, ask for rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.drift import (
    Alarm,
    DriftFacts,
    DriftPolicy,
    Kind,
    Reading,
    StreamState,
    judge_drift,
)
from windvane.core.verdict import Outcome, Verdict

MATERIAL = {Kind.DRIFT: 0.2, Kind.VALUES: 0.5, Kind.NULLS: 0.1}
POLICY = DriftPolicy(1_000.0, MATERIAL, calm_windows=3)
P, H, F = Outcome.PASS, Outcome.HOLD, Outcome.FAIL
START = 6_000.0

QUIET = (0.6, 0.01)
BREAK = (0.003, 0.8)  # an e-value of about 10
UNLIKELY_BUT_SMALL = (0.0005, 0.05)
LARGE_BUT_LIKELY = (0.5, 0.8)
HALF_CALM = (0.4, 0.07)


def reading(p: float, size: float, feature: str = "temp", kind: Kind = Kind.NULLS) -> Reading:
    return Reading(feature, "weather", kind, p, size)


@dataclass
class Played:
    verdicts: list[Verdict]
    states: list[StreamState]
    alarms: list[tuple[int, Alarm]]

    @property
    def outcomes(self) -> list[Outcome]:
        return [v.outcome for v in self.verdicts]


def play(windows: list[tuple[float, float]], policy: DriftPolicy = POLICY) -> Played:
    """One stream; window ``i`` begins at ``START + 60 i``."""
    states: dict[str, StreamState] = {}
    out = Played([], [], [])
    for i, (p, size) in enumerate(windows):
        facts = DriftFacts(START + 60.0 * i, 500, 50, (reading(p, size),), states)
        verdict, states, alarms = judge_drift(facts, policy, START + 60.0 * (i + 1))
        out.verdicts.append(verdict)
        out.states.append(states["temp/nulls"])
        out.alarms += [(i, alarm) for alarm in alarms]
    return out


def test_quiet_quiet_break_break_alarms_at_3_since_2_and_heals_after_3_calm() -> None:
    windows = [QUIET, QUIET, BREAK, BREAK, BREAK, QUIET, QUIET, QUIET, QUIET]
    played = play(windows, DriftPolicy(alarm_at=150.0, calm_windows=3))
    assert played.outcomes == [P, P, P, F, F, F, F, P, P]
    assert played.alarms == [
        (3, Alarm("temp", "weather", Kind.NULLS, 0.8, START + 120.0, True)),
        (7, Alarm("temp", "weather", Kind.NULLS, 0.01, START + 120.0, False)),
    ]
    assert played.states[7] == StreamState()


def test_size_without_evidence_and_evidence_without_size_are_silent() -> None:
    assert set(play([LARGE_BUT_LIKELY] * 30).outcomes) == {P}
    played = play([UNLIKELY_BUT_SMALL] * 30)
    assert set(played.outcomes) == {P}
    assert played.states[-1].value > 1e9


def test_evidence_gathered_small_alarms_once_material() -> None:
    played = play([UNLIKELY_BUT_SMALL] * 5 + [BREAK])
    assert played.outcomes == [P] * 5 + [F]
    ((at, alarm),) = played.alarms
    assert (at, alarm.since) == (5, START)


def test_calm_must_be_in_a_row_and_below_half_of_material() -> None:
    burst = [BREAK] * 4
    opened = play(burst).alarms[0][0]
    assert opened <= 3
    played = play([*burst, QUIET, QUIET, HALF_CALM, QUIET, QUIET, QUIET])
    assert [s.calm for s in played.states[4:7]] == [1, 2, 0] or played.outcomes[6] is P
    flapping = play([*burst, QUIET, QUIET, BREAK, QUIET, QUIET, BREAK])
    assert [a.opened for _, a in flapping.alarms] == [True]
    assert [s.calm for s in flapping.states[4:]] == [1, 2, 0, 1, 2, 0]


def test_an_open_alarm_does_not_open_again_and_a_healed_one_may() -> None:
    played = play([*[BREAK] * 6, *[QUIET] * 3, *[BREAK] * 4])
    assert [a.opened for _, a in played.alarms] == [True, False, True]
    reopened = played.alarms[2][1]
    assert reopened.since == START + 60.0 * 9


@pytest.mark.parametrize("rows", [0, 1, 49])
def test_a_thin_window_holds_and_changes_nothing(rows: int) -> None:
    states = {"temp/nulls": StreamState(value=999.0, since=60.0)}
    facts = DriftFacts(120.0, rows, 50, (reading(*BREAK),), states)
    verdict, after, alarms = judge_drift(facts, POLICY, 180.0)
    assert (verdict.outcome, verdict.code) == (H, "DRI-202")
    assert verdict.missing == f"{50 - rows} rows"
    assert after == states
    assert alarms == ()


def test_without_a_reference_it_holds() -> None:
    verdict, after, alarms = judge_drift(DriftFacts(0.0, 500, 50, (), {}), POLICY, 60.0)
    assert (verdict.outcome, verdict.code, verdict.missing) == (H, "DRI-203", "more windows")
    assert (after, alarms) == ({}, ())


def test_streams_are_apart_and_the_sentence_names_both_sides() -> None:
    readings = (
        reading(1e-12, 0.9, "temp"),
        reading(1e-12, 0.7, "wind", Kind.VALUES),
        reading(0.5, 0.9, "rain"),
    )
    verdict, states, alarms = judge_drift(DriftFacts(0.0, 2_310, 50, readings, {}), POLICY, 60.0)
    assert verdict.code == "DRI-201"
    assert verdict.sentence.startswith("temp nulls moved 0.90 >= 0.10 with evidence ")
    assert verdict.sentence.endswith(" >= 1e+03, 2 of 3 streams, n=2,310")
    assert {(a.feature, a.kind) for a in alarms} == {("temp", Kind.NULLS), ("wind", Kind.VALUES)}
    assert not states["rain/nulls"].alarmed
    quiet = judge_drift(DriftFacts(0.0, 80, 50, (reading(*QUIET),), {}), POLICY, 60.0)[0]
    assert quiet.sentence.endswith("(temp/nulls) < 1e+03, n=80")


def test_a_stream_without_a_reading_keeps_its_state() -> None:
    held = {"gone/nulls": StreamState(value=5.0, since=1.0, alarmed=True)}
    facts = DriftFacts(60.0, 500, 50, (reading(*QUIET),), held)
    _, states, alarms = judge_drift(facts, POLICY, 120.0)
    assert states["gone/nulls"] == held["gone/nulls"]
    assert alarms == ()
    assert "temp/nulls" not in held  # the facts are not changed


READINGS = st.lists(st.tuples(st.floats(0, 1), st.floats(-1, 1)), min_size=1, max_size=30)


@given(READINGS)
def test_alarms_open_and_close_in_turn_and_agree_with_the_state(
    windows: list[tuple[float, float]],
) -> None:
    played = play(windows, DriftPolicy(20.0, MATERIAL, calm_windows=2))
    assert [a.opened for _, a in played.alarms] == [i % 2 == 0 for i in range(len(played.alarms))]
    for i, alarm in played.alarms:
        assert played.states[i].alarmed == alarm.opened
        assert START <= alarm.since <= START + 60.0 * i
        assert alarm.size >= MATERIAL[alarm.kind] or not alarm.opened
    for verdict, state in zip(played.verdicts, played.states, strict=True):
        assert verdict.failed == state.alarmed


@given(READINGS)
def test_judging_again_gives_the_same(windows: list[tuple[float, float]]) -> None:
    one, two = play(windows), play(windows)
    assert (one.verdicts, one.states, one.alarms) == (two.verdicts, two.states, two.alarms)


def test_false_alarms_keep_to_the_budget() -> None:
    """100 streams of 200 windows with uniform p and always-material size, A = 2,000: at most 10
    alarms are the budget; more than 20 would have probability below .2%."""
    rng = np.random.default_rng(6)
    policy = DriftPolicy(alarm_at=2_000.0)
    alarms = 0
    for _ in range(100):
        ps = rng.random(200)
        alarms += len(
            [a for _, a in play([(float(p), 0.9) for p in ps], policy).alarms if a.opened]
        )
    assert alarms <= 20


def unusual(p: float, size: float, usual: float, known: int = 500) -> Reading:
    return Reading("hour", "plan", Kind.VALUES, p, size, usual, known)


def judged(readings: list[Reading], policy: DriftPolicy) -> list[Outcome]:
    states: dict[str, StreamState] = {}
    out: list[Outcome] = []
    for i, one in enumerate(readings):
        facts = DriftFacts(START + 60.0 * i, 500, 50, (one,), states)
        verdict, states, _ = judge_drift(facts, policy, START)
        out.append(verdict.outcome)
    return out


def test_what_is_usual_for_a_feature_is_not_material() -> None:
    policy = DriftPolicy(150.0, MATERIAL, unusual=1.2)
    assert set(judged([unusual(0.003, 0.7, 0.6)] * 9, policy)) == {P}
    assert judged([unusual(0.003, 0.75, 0.6)] * 9, policy)[-1] is F


def test_an_alarm_calms_when_sizes_are_usual_again() -> None:
    policy = DriftPolicy(150.0, MATERIAL)
    broken, healthy = unusual(0.003, 0.9, 0.6), unusual(0.5, 0.55, 0.6)
    assert judged([broken] * 4 + [healthy] * 4, policy)[-5:] == [F, F, F, P, P]


def test_a_stream_without_enough_healthy_windows_is_not_judged() -> None:
    policy = DriftPolicy(150.0, MATERIAL, enough=50)
    facts = DriftFacts(START, 500, 50, (unusual(0.0001, 0.9, 0.0, known=12),), {})
    verdict, states, alarms = judge_drift(facts, policy, START)
    assert (verdict.outcome, verdict.code, verdict.missing) == (H, "DRI-203", "38 windows")
    assert (states, alarms) == ({}, ())
    known, young = reading(0.003, 0.8), unusual(0.0001, 0.9, 0.0, known=12)
    states = {}
    for i in range(5):
        facts = DriftFacts(START + i, 500, 50, (known, young), states)
        verdict, states, alarms = judge_drift(facts, policy, START)
    assert verdict.outcome is F
    assert set(states) == {"temp/nulls"}
