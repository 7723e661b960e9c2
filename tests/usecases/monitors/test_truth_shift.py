"""What changed about the truth is told of whom it changed for, and by what changed."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
from usecases.harness import MODEL, START, WINDOW_S, Harness
from usecases.labelled import (
    CHANGED,
    TEXT,
    UNITS,
    Floats,
    Truth,
    calibrated,
    serve,
    watch,
    watch_healthy,
)
from usecases.worlds import Worlds

from windvane.ports.control_store import WindowVerdict
from windvane.usecases.actions import About
from windvane.usecases.monitors import truth_shift
from windvane.usecases.monitors.truth_shift import TruthShift
from windvane.usecases.replay_decision import replay_decision

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")


@pytest.fixture
def watched(worlds: Worlds) -> Iterator[Harness]:
    with worlds.after(watch) as found:
        yield found


@pytest.fixture
def healthy(worlds: Worlds) -> Iterator[Harness]:
    """All windows until the change."""
    with worlds.after(watch, watch_healthy) as found:
        yield found


@pytest.fixture
def flipped(worlds: Worlds) -> Iterator[Harness]:
    """Half of all labels are flipped since four windows."""
    with worlds.after(watch, watch_healthy, flip_half) as found:
        yield found


@pytest.fixture
def flipped_of_one(worlds: Worlds) -> Iterator[Harness]:
    """All labels of one tenant are flipped since eight windows."""
    with worlds.after(watch, watch_healthy, flip_tenant) as found:
        yield found


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


def test_labels_as_the_predictions_say_are_no_finding(healthy: Harness) -> None:
    serve(healthy, 26 - CHANGED, calibrated, first=CHANGED)
    assert found_by(healthy) == {}
    last = looks(healthy)[-1]
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


def test_other_inputs_with_the_same_truth_are_no_concept_drift(healthy: Harness) -> None:
    """Rows that are harder to tell cost more, and predictions that fall take labels with them."""
    serve(healthy, 26 - CHANGED, calibrated, first=CHANGED, said_of=lambda _: (6.0, 6.0))
    assert found_by(healthy) == {}
    assert looks(healthy)[-1].detail["statistics"]["rate"]["now"] > 0.4


def flip(share: float, of: str = "") -> Truth:
    def truth(
        tenant: str, window: int, said: Floats, drawn: Floats, rng: np.random.Generator
    ) -> Floats:
        right = calibrated(tenant, window, said, drawn, rng)
        if window < CHANGED:
            return right
        flipped = rng.random(len(said)) < share
        return np.where(flipped, 1.0 - right, right) if of in ("", tenant) else right

    return truth


def flip_half(harness: Harness) -> None:
    serve(harness, 4, flip(0.5), first=CHANGED)


def flip_tenant(harness: Harness) -> None:
    serve(harness, 8, flip(1.0, "WN"), first=CHANGED)


def test_a_flip_of_half_of_all_labels_is_the_models(flipped: Harness) -> None:
    assert f"truth_shift/concept_drift:{MODEL}" in members(flipped)
    assert not any("tenant" in m for m in members(flipped))
    assert len(found_by(flipped)) == 1, "one incident"
    (incident,) = [i for i in flipped.incidents() if any("truth" in m for m in i.members)]
    assert incident.since == START + WINDOW_S * CHANGED
    assert "usually" in incident.title
    judged = [d for d in flipped.decisions() if d.judge == "truth_shift"]
    assert judged
    assert all(replay_decision(d).same for d in judged)


def test_a_flip_of_one_tenants_labels_is_that_tenants(flipped_of_one: Harness) -> None:
    assert members(flipped_of_one) == {"truth_shift/tenant_truth:WN"}


def test_what_a_tenant_had_that_sends_no_more_is_no_news_after_two_spans(
    flipped_of_one: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    (incident,) = flipped_of_one.incidents()
    monkeypatch.delitem(UNITS, "WN")
    serve(flipped_of_one, 12, calibrated, first=CHANGED + 8)
    assert members(flipped_of_one) == {"truth_shift/tenant_truth:WN"}
    serve(flipped_of_one, 6, calibrated, first=CHANGED + 20)
    assert found_by(flipped_of_one) == {}
    assert any("too few labels since" in line for line in flipped_of_one.timeline(incident))


def test_a_new_version_does_not_end_what_labels_still_are(flipped: Harness) -> None:
    """What half of the labels are is no matter of who answers."""
    before = members(flipped)
    flipped.put("2")
    serve(flipped, 9, flip(0.5), first=CHANGED + 4, answered="2")
    assert members(flipped) >= before


def test_it_is_over_once_the_truth_is_as_it_was(flipped: Harness) -> None:
    assert len(found_by(flipped)) == 1
    serve(flipped, 5, calibrated, first=CHANGED + 4)
    assert found_by(flipped) == {}


def test_what_was_closed_by_hand_is_found_again_while_it_lives(flipped: Harness) -> None:
    """By the levels of before: else the fault would be the level, and its end a finding."""
    (incident,) = [i for i in flipped.incidents() if any("truth" in m for m in i.members)]
    before = flipped.carried(TruthShift.name)[""]["cell"]["kinds"]["loss"]["level"]
    flipped.act("close", About.INCIDENT, incident=incident.id, reason="seen")
    after = flipped.carried(TruthShift.name)[""]["cell"]["kinds"]["loss"]
    assert (after["level"], after["alarmed"]) == (before, False)
    serve(flipped, 3, flip(0.5), first=CHANGED + 4)
    assert f"truth_shift/concept_drift:{MODEL}" in members(flipped)
    (again,) = [
        i
        for i in flipped.incidents()
        if i.closed_at is None and f"truth_shift/concept_drift:{MODEL}" in i.members
    ]
    assert again.id != incident.id
    serve(flipped, 6, calibrated, first=CHANGED + 7)
    assert found_by(flipped) == {}, "the end of a fault is no finding"


def test_what_was_accepted_is_the_new_level(flipped: Harness) -> None:
    (incident,) = [i for i in flipped.incidents() if any("truth" in m for m in i.members)]
    flipped.act("accept", About.INCIDENT, incident=incident.id, reason="the new rule is to stay")
    serve(flipped, 8, flip(0.5), first=CHANGED + 4)
    assert found_by(flipped) == {}
    assert looks(flipped)[-1].code == "OUT-410"


def test_a_base_rate_that_falls_while_predictions_stay_is_told(healthy: Harness) -> None:
    """From .33 to .02 nothing was ever said."""

    def truth(
        tenant: str, window: int, said: Floats, drawn: Floats, rng: np.random.Generator
    ) -> Floats:
        right = calibrated(tenant, window, said, drawn, rng)
        return right * (rng.random(len(said)) < 0.06)

    serve(healthy, 4, truth, first=CHANGED)
    assert f"truth_shift/base_rate:{MODEL}" in members(healthy)
    assert f"truth_shift/concept_drift:{MODEL}" not in members(healthy), "answers cost less"
    assert len(found_by(healthy)) == 1


def test_predictions_that_say_too_much_are_miscalibrated(healthy: Harness) -> None:
    """Labels are as often as ever, and predictions half again as high."""

    def truth(
        tenant: str, window: int, said: Floats, drawn: Floats, rng: np.random.Generator
    ) -> Floats:
        del tenant, window, rng
        return (drawn < said / 1.5).astype(float)

    serve(healthy, 10, truth, first=CHANGED, said_of=lambda _: (4.0, 4.0))
    assert f"truth_shift/calibration:{MODEL}" in members(healthy)
    assert f"truth_shift/base_rate:{MODEL}" not in members(healthy)


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
