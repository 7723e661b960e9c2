"""What changed about the truth is told of whom it changed for, and by what changed."""

from __future__ import annotations

import re

import numpy as np
import pytest
from usecases.harness import MODEL, START, WINDOW_S, Harness
from usecases.labelled import CHANGED, TEXT, UNITS, Floats, Truth, calibrated, serve

from windvane.ports.control_store import WindowVerdict
from windvane.usecases.actions import About
from windvane.usecases.monitors import truth_shift
from windvane.usecases.monitors.truth_shift import TruthShift
from windvane.usecases.replay_decision import replay_decision

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")


@pytest.fixture
def watched(harness: Harness) -> Harness:
    harness.clock.at += 1
    harness.apply(TEXT)
    return harness


def looks(harness: Harness) -> list[WindowVerdict]:
    """Oldest first."""
    with harness.store.read() as tx:
        found = tx.verdicts(MODEL, TruthShift.name, 0.0, 1_000)
    return sorted((v for v in found if not v.subject), key=lambda v: v.start)


def found_by(harness: Harness) -> dict[str, list[str]]:
    """What this monitor finds that is open, by the incident's cause."""
    found = {
        i.cause: [m for m in i.members if m.startswith("truth_shift/")]
        for i in harness.incidents()
        if i.closed_at is None
    }
    return {cause: mine for cause, mine in found.items() if mine}


def members(harness: Harness) -> set[str]:
    return {m for found in found_by(harness).values() for m in found}


def test_labels_as_the_predictions_say_are_no_finding(watched: Harness) -> None:
    serve(watched, 26, calibrated)
    assert found_by(watched) == {}
    last = looks(watched)[-1]
    assert (last.outcome, last.code) == ("pass", "OUT-410")
    assert last.detail["said"] == pytest.approx(1 / 3, abs=0.05)


def test_a_block_that_is_not_read_whole_says_so(
    watched: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(truth_shift, "_MOST_ROWS", 50)
    serve(watched, 8, calibrated)
    found = looks(watched)
    assert found
    for look in found:
        cut = look.detail["cut"]
        assert cut["read"] == 50 < cut["rows"]
        assert look.sentence.endswith(f", of the newest 50 of {cut['rows']:,} rows")
    decided = [d for d in watched.decisions() if TruthShift.name in d.id]
    assert all(replay_decision(d).same for d in decided)


def test_a_block_that_is_read_whole_says_nothing_of_it(watched: Harness) -> None:
    serve(watched, 8, calibrated)
    assert looks(watched)
    assert all("newest" not in v.sentence and "cut" not in v.detail for v in looks(watched))
    assert re.search(r"labels \S+ \(\S+ to \S+, 95%\)", looks(watched)[-1].sentence)


def test_other_inputs_with_the_same_truth_are_no_concept_drift(watched: Harness) -> None:
    """Rows that are harder to tell cost more, and predictions that fall take labels with them."""
    serve(watched, 26, calibrated, said_of=lambda w: (2.0, 4.0) if w < CHANGED else (6.0, 6.0))
    assert found_by(watched) == {}
    assert looks(watched)[-1].detail["statistics"]["rate"]["now"] > 0.4


def flip(share: float, of: str = "") -> Truth:
    def truth(
        tenant: str, window: int, said: Floats, drawn: Floats, rng: np.random.Generator
    ) -> Floats:
        right = calibrated(tenant, window, said, drawn, rng)
        flipped = rng.random(len(said)) < share
        changed = window >= CHANGED and of in ("", tenant)
        return np.where(flipped, 1.0 - right, right) if changed else right

    return truth


def test_a_flip_of_half_of_all_labels_is_the_models(watched: Harness) -> None:
    serve(watched, CHANGED + 4, flip(0.5))
    assert f"truth_shift/concept_drift:{MODEL}" in members(watched)
    assert not any("tenant" in m for m in members(watched))
    assert len(found_by(watched)) == 1, "one incident"
    (incident,) = [i for i in watched.incidents() if any("truth" in m for m in i.members)]
    assert incident.since == START + WINDOW_S * CHANGED
    assert "usually" in incident.title
    judged = [d for d in watched.decisions() if d.judge == "truth_shift"]
    assert judged
    assert all(replay_decision(d).same for d in judged)


def test_a_flip_of_one_tenants_labels_is_that_tenants(watched: Harness) -> None:
    serve(watched, CHANGED + 8, flip(1.0, "WN"))
    assert members(watched) == {"truth_shift/tenant_truth:WN"}


def test_what_a_tenant_had_that_sends_no_more_is_no_news_after_two_spans(
    watched: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(watched, CHANGED + 8, flip(1.0, "WN"))
    (incident,) = watched.incidents()
    monkeypatch.delitem(UNITS, "WN")
    serve(watched, 12, calibrated, first=CHANGED + 8)
    assert members(watched) == {"truth_shift/tenant_truth:WN"}
    serve(watched, 6, calibrated, first=CHANGED + 20)
    assert found_by(watched) == {}
    assert any("too few labels since" in line for line in watched.timeline(incident))


def test_a_new_version_does_not_end_what_labels_still_are(watched: Harness) -> None:
    """What half of the labels are is no matter of who answers."""
    serve(watched, CHANGED + 4, flip(0.5))
    before = members(watched)
    watched.put("2")
    serve(watched, 9, flip(0.5), first=CHANGED + 4, answered="2")
    assert members(watched) >= before


def test_it_is_over_once_the_truth_is_as_it_was(watched: Harness) -> None:
    def truth(
        tenant: str, window: int, said: Floats, drawn: Floats, rng: np.random.Generator
    ) -> Floats:
        return flip(0.5)(tenant, window if window < CHANGED + 4 else 0, said, drawn, rng)

    serve(watched, CHANGED + 4, truth)
    assert len(found_by(watched)) == 1
    serve(watched, 5, truth, first=CHANGED + 4)
    assert found_by(watched) == {}


def test_what_was_closed_by_hand_is_found_again_while_it_lives(watched: Harness) -> None:
    """By the levels of before: else the fault would be the level, and its end a finding."""

    def truth(
        tenant: str, window: int, said: Floats, drawn: Floats, rng: np.random.Generator
    ) -> Floats:
        return flip(0.5)(tenant, window if window < CHANGED + 7 else 0, said, drawn, rng)

    serve(watched, CHANGED + 4, truth)
    (incident,) = [i for i in watched.incidents() if any("truth" in m for m in i.members)]
    before = watched.carried(TruthShift.name)[""]["cell"]["kinds"]["loss"]["level"]
    watched.act("close", About.INCIDENT, incident=incident.id, reason="seen")
    after = watched.carried(TruthShift.name)[""]["cell"]["kinds"]["loss"]
    assert (after["level"], after["alarmed"]) == (before, False)
    serve(watched, 3, truth, first=CHANGED + 4)
    assert f"truth_shift/concept_drift:{MODEL}" in members(watched)
    (again,) = [
        i
        for i in watched.incidents()
        if i.closed_at is None and f"truth_shift/concept_drift:{MODEL}" in i.members
    ]
    assert again.id != incident.id
    serve(watched, 6, truth, first=CHANGED + 7)
    assert found_by(watched) == {}, "the end of a fault is no finding"


def test_what_was_accepted_is_the_new_level(watched: Harness) -> None:
    serve(watched, CHANGED + 4, flip(0.5))
    (incident,) = [i for i in watched.incidents() if any("truth" in m for m in i.members)]
    watched.act("accept", About.INCIDENT, incident=incident.id, reason="the new rule is to stay")
    serve(watched, 8, flip(0.5), first=CHANGED + 4)
    assert found_by(watched) == {}
    assert looks(watched)[-1].code == "OUT-410"


def test_a_base_rate_that_falls_while_predictions_stay_is_told(watched: Harness) -> None:
    """From .33 to .02 nothing was ever said."""

    def truth(
        tenant: str, window: int, said: Floats, drawn: Floats, rng: np.random.Generator
    ) -> Floats:
        right = calibrated(tenant, window, said, drawn, rng)
        return right * (rng.random(len(said)) < 0.06) if window >= CHANGED else right

    serve(watched, CHANGED + 4, truth)
    assert f"truth_shift/base_rate:{MODEL}" in members(watched)
    assert f"truth_shift/concept_drift:{MODEL}" not in members(watched), "answers cost less"
    assert len(found_by(watched)) == 1


def test_predictions_that_say_too_much_are_miscalibrated(watched: Harness) -> None:
    """Labels are as often as ever, and predictions half again as high."""

    def truth(
        tenant: str, window: int, said: Floats, drawn: Floats, rng: np.random.Generator
    ) -> Floats:
        del tenant, rng
        return (drawn < (said / 1.5 if window >= CHANGED else said)).astype(float)

    serve(watched, CHANGED + 10, truth, said_of=lambda w: (2.0, 4.0) if w < CHANGED else (4.0, 4.0))
    assert f"truth_shift/calibration:{MODEL}" in members(watched)
    assert f"truth_shift/base_rate:{MODEL}" not in members(watched)


def test_blocks_wait_until_their_labels_have_come(watched: Harness) -> None:
    """Labels take two and a half windows: a block is judged with all of them."""
    serve(watched, 14, calibrated, late_s=150.0)
    found = [look for look in looks(watched) if look.detail.get("units")]
    assert found
    assert {look.detail["units"] for look in found} == {sum(UNITS.values())}
    assert all(look.start + WINDOW_S >= look.detail["block"] + 60 + 150 for look in found)


def test_what_rules_and_constants_answered_is_left_out(watched: Harness) -> None:
    serve(watched, 4, calibrated, answered="")
    assert {look.outcome for look in looks(watched)} == {"hold"}
    assert {look.detail.get("units", 0) for look in looks(watched)} == {0}


def test_a_file_without_outcomes_is_not_watched(harness: Harness) -> None:
    harness.clock.at += 1
    harness.apply(TEXT.replace("outcomes: {floor: 0.6}", "outcomes: {}"))
    serve(harness, 4, calibrated)
    assert looks(harness) == []
