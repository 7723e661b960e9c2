"""Outcomes below the floor are told, and close once they are above it again."""

from __future__ import annotations

import re
from typing import Any

import pytest
from event_rows import predicted_event
from usecases.harness import FILE, MODEL, START, TENANTS, WINDOW_S, Harness
from usecases.monitors.test_estimates import calibrated
from usecases.timeline import only, outcomes, verdicts

from windvane.ports.event_log import LogEntry, LogTooSlow
from windvane.ports.events import OutcomeSeen
from windvane.usecases.monitors import watch_policy
from windvane.usecases.monitors.spans import BLOCKS
from windvane.usecases.publish_routing import NOTIFY
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.replay_decision import replay_decision

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")


def log_scored(
    harness: Harness, window: int, n: int, *, right: bool | float, later_s: float = 0.0,
    answered: str = "1", units: int = 0, contrary: float = 0.0, silent: bool = False,
) -> None:  # fmt: skip
    """``n`` answers of as many units, or of ``units``, with their outcomes, which come ``later_s``:
    all right or all wrong, but of the first ``contrary`` part of the units."""
    ts = START + WINDOW_S * window + 1.0
    events: list[Any] = []
    contract = read_model_file(FILE).contract
    for i in range(n):
        late = float(i % 2)
        unit = i // 2 % (units or n)
        meant = bool(right) != (unit < contrary * (units or n))
        output = 0.9 if bool(late) == meant else 0.1
        name = f"w{window}-{answered}-{i}"
        events.append(
            predicted_event(
                name, ts + i * 0.05, MODEL, "AA", contract.id, unit=f"u{unit}-{window}",
                values=[1.0, "dl", 1.0], outputs=[output], routed="1", answered=answered,
            )
        )  # fmt: skip
        if silent:
            continue
        events.append(
            OutcomeSeen(name, ts + i * 0.05 + later_s, MODEL, "AA", contract.id, name, 0, late)
        )
    spool, start = f"m/v{answered}", 100_000 * window
    entries = [LogEntry(spool, start + i, event) for i, event in enumerate(events)]
    harness.log.append(spool, start + len(events), entries, {contract.id: contract})


def each_span(harness: Harness) -> str:
    """One letter a span, of its last look."""
    return outcomes(harness, "outcomes")[::BLOCKS]


def test_bad_outcomes_open_an_incident_and_good_ones_close_it(harness: Harness) -> None:
    for i in range(60):
        if i in (3, 23, 43):
            log_scored(harness, i, 400, right=i != 23)
        harness.traffic(i)
        harness.judge()
    assert each_span(harness) == "PFP"
    incident = only(harness, f"outcomes:{MODEL}")
    assert incident.title.startswith("AUC 0.000 (0.000 to ")
    assert incident.closed_at is not None
    assert harness.timeline(incident)[-1].startswith("outcomes are above the floor again")
    assert len(harness.queued(NOTIFY)) == 1
    judged = [d for d in harness.decisions() if d.judge == "outcomes"]
    assert [d.action for d in judged] == ["close", "notify"]
    assert all(replay_decision(d).same for d in judged)


def test_a_flip_of_labels_is_told_before_the_span_is_over(harness: Harness) -> None:
    """A look once a span came up to a whole span later, and one at the whole span knows it only
    once most of it is on the far side of the change."""
    for i in range(27):
        log_scored(harness, i, 100, right=i < 20)
        harness.traffic(i)
        harness.judge()
    assert outcomes(harness, "outcomes") == "PFH"
    failed = verdicts(harness, "outcomes")[1]
    assert failed.sentence.startswith("the newest block alone has AUC 0.000 (0.000 to ")
    since = START + 23 * WINDOW_S - 1_200.0 / BLOCKS
    assert failed.detail["newest"]["began"] == pytest.approx(since, abs=1.0)
    # It is part of the incident that the flip itself is.
    mine = [i for i in harness.incidents() if f"outcomes/outcomes:{MODEL}" in i.members]
    assert [(i.cause, i.closed_at) for i in mine] == [(f"concept_drift:{MODEL}", None)]


def test_a_mix_of_good_and_bad_opens_and_closes_once(harness: Harness) -> None:
    """Every look is at nearly the same rows as the one before, and the metric crosses the floor
    back and forth: only a whole interval on the right side ends what is open."""
    for i in range(46):
        worse = 0.0 if i >= 23 else 0.95
        if i % 2 == 0:
            log_scored(harness, i, 120, right=True, contrary=worse)
        harness.traffic(i)
        harness.judge()
    assert re.fullmatch("F+H+P+", outcomes(harness, "outcomes"))
    judged = [d.action for d in harness.decisions() if d.judge == "outcomes"]
    assert sorted(judged) == ["close", "notify"]


def test_the_budget_of_a_span_is_shared_by_its_looks(harness: Harness) -> None:
    """As the recorded policy has it."""
    for i in range(20):
        log_scored(harness, i, 60, right=False)
        harness.traffic(i)
        harness.judge()
    (decision,) = (d for d in harness.decisions() if d.judge == "outcomes")
    file = read_model_file(FILE)
    slow = watch_policy(file, models=1, tenants=len(TENANTS)).slow_alarm_at
    assert decision.policy["alpha"] == pytest.approx(min(0.01, 1.0 / (slow * BLOCKS)))


def test_two_monitors_read_the_rows_of_a_span_once(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibrated(harness)
    asked: list[tuple[float, float]] = []
    scored = type(harness.log).scored

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append((args[2], args[3]))
        return scored(self, *args, **kwargs)

    monkeypatch.setattr(type(harness.log), "scored", counted)
    for i in range(20):
        log_scored(harness, i, 60, right=True)
        harness.traffic(i)
        harness.judge()
    assert len(verdicts(harness, "estimates")) == 1, "it has looked, too"
    assert asked.count((START, START + 20 * WINDOW_S)) == 1


def test_a_log_that_is_too_slow_is_asked_again_with_the_next_look(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_slow(*_args: Any, **_kwargs: Any) -> None:
        raise LogTooSlow("no answer within 60 s")

    log_scored(harness, 3, 400, right=False)
    for i in range(24):
        with monkeypatch.context() as patched:
            if i == 19:
                patched.setattr(type(harness.log), "scored", too_slow)
            harness.traffic(i)
            harness.judge()
    looks = verdicts(harness, "outcomes")
    assert (looks[0].outcome, looks[0].code) == ("error", "LOG-103")
    assert [round((look.start - START) / WINDOW_S) for look in looks] == [19, 22]


def test_what_became_of_outcomes_is_kept_with_the_look(harness: Harness) -> None:
    contract = read_model_file(FILE).contract
    for i in range(20):
        if i == 3:
            log_scored(harness, i, 400, right=True)
            ts = START + WINDOW_S * i + 2.0
            stray = OutcomeSeen("stray", ts, MODEL, "AA", contract.id, "nothing", 0, 1.0)
            harness.log.append("m/w8", 1, [LogEntry("m/w8", 0, stray)], {contract.id: contract})
        harness.traffic(i)
        harness.judge()
    with harness.store.read() as tx:
        (look,) = tx.verdicts(MODEL, "outcomes", 0.0, 5)
    assert look.detail["floor"] == pytest.approx(read_model_file(FILE).watch.outcomes["floor"])
    assert look.detail["outcomes"] == {
        "joined": 400, "late": 0, "unknown": 1, "ambiguous": 0, "out_of_range": 0,
    }  # fmt: skip


def test_missing_outcomes_neither_open_nor_close(harness: Harness) -> None:
    for i in range(40):
        if i == 3:
            log_scored(harness, i, 400, right=False)
        harness.traffic(i)
        harness.judge()
    assert each_span(harness) == "FH"
    assert only(harness, f"outcomes:{MODEL}").closed_at is None


def test_only_an_answer_that_is_known_to_be_good_closes_it(harness: Harness) -> None:
    """One that straddles the floor was a PASS and closed the incident. Rows of one unit go wrong
    together: the interval is that of 12 units, and not of 400 rows."""
    for i in range(100):
        if i in (3, 23, 43):
            log_scored(harness, i, 400, right=i == 43, units=12 if i == 43 else 0,
                       contrary=0.25 if i == 43 else 0.0)  # fmt: skip
        if i == 63:
            log_scored(harness, i, 400, right=True)
        harness.traffic(i)
        harness.judge()
    assert each_span(harness) == "FFHPH"
    looks = verdicts(harness, "outcomes")
    straddling = looks[2 * BLOCKS]
    assert straddling.code == "OUT-403"
    assert straddling.detail["lower"] < 0.6 < straddling.detail["upper"]
    assert "more outcomes" in straddling.detail["missing"]
    incident = only(harness, f"outcomes:{MODEL}")
    passed = next(look for look in looks if look.outcome == "pass")
    assert incident.closed_at == passed.start + WINDOW_S


def test_the_champion_is_judged_by_what_it_answered_itself(harness: Harness) -> None:
    """A constant that answered for it, or a version of before, makes it neither good nor bad."""
    for i in range(20):
        if i == 3:
            log_scored(harness, i, 400, right=False)
            log_scored(harness, i, 1_200, right=True, answered="")
        harness.traffic(i)
        harness.judge()
    assert outcomes(harness, "outcomes") == "F"
    with harness.store.read() as tx:
        (look,) = tx.verdicts(MODEL, "outcomes", 0.0, 5)
    assert (look.detail["version"], look.detail["scored"], look.detail["auc"]) == ("1", 400, 0.0)
    (other,) = look.detail["others"]
    assert (other["version"], other["scored"], other["value"]) == ("", 1_200, 1.0)


def test_a_version_that_is_far_below_its_holdout_is_told_above_the_floor(harness: Harness) -> None:
    harness.clock.at += 1
    harness.apply(FILE.replace("{floor: 0.6}", "{floor: 0.2, margin: 0.1}"))
    for i in range(20):
        if i == 3:
            log_scored(harness, i, 4_000, right=True, contrary=0.5)
        harness.traffic(i)
        harness.judge()
    assert outcomes(harness, "outcomes") == "F"
    assert "holdout 0.700 - 0.100" in only(harness, f"outcomes:{MODEL}").title


def test_outcomes_that_may_take_longer_than_a_look_are_scored_when_they_are_due(
    harness: Harness,
) -> None:
    """They were looked at before they came and never again, and the model was never scored."""
    harness.clock.at += 1
    harness.apply(FILE.replace("{floor: 0.6}", "{floor: 0.6, arrive_within: 40m}"))
    for i in range(60):
        if i == 3:
            log_scored(harness, i, 400, right=False, later_s=1_800.0)
        harness.traffic(i)
        harness.judge()
    assert each_span(harness) == "HHF"
    assert only(harness, f"outcomes:{MODEL}").since == START


def test_outcomes_respond_as_the_file_says(harness: Harness) -> None:
    harness.clock.at += 1
    harness.apply(FILE.replace("watch:\n", "watch:\n  respond: {quality: log}\n"))
    for i in range(20):
        if i == 3:
            log_scored(harness, i, 400, right=False)
        harness.traffic(i)
        harness.judge()
    assert outcomes(harness, "outcomes") == "F"
    assert harness.queued(NOTIFY) == []


@pytest.mark.parametrize(("unlabelled", "code"), [(20, "OUT-400"), (200, "OUT-402")])
def test_who_is_acted_on_is_known_only_where_nearly_all_have_labels(
    harness: Harness, unlabelled: int, code: str
) -> None:
    text = FILE.replace("window: 60s", "window: 600s").replace("drift_over: 20m", "drift_over: 2h")
    acted = "outcomes: {metric: precision_at, at: 40 per hour, floor: 0.2}"
    harness.clock.at += 1
    harness.apply(text.replace("outcomes: {floor: 0.6}", acted))
    for i in range(0, 140, 10):
        if i in (10, 80):
            log_scored(harness, i, 400, right=True)
            log_scored(harness, i + 1, unlabelled, right=True, silent=True)
        harness.traffic(i)
        harness.judge()
    with harness.store.read() as tx:
        first = tx.verdicts(MODEL, "outcomes", 0.0, 10)[-1]
    assert first.code == code
    if code == "OUT-402":
        assert first.detail["missing"].startswith("labels of 90% of the rows, 67% have one")
