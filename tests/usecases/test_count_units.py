"""What events say of the units of a rollout: who met which arm, and what happened to whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from usecases.harness import FILE, MODEL, START
from usecases.recording import RecorderHarness, outcome, predicted, refused, unanswered

from windvane.core.rollout import EVERYONE, FAILED, SLOW, Stage
from windvane.ports.events import CountedEvent, RouteTaken
from windvane.ports.rollouts import FirstRequest, RolloutRecord, UnitEvent
from windvane.usecases.apply_model import apply_model
from windvane.usecases.count_units import CountedUnits, count_units, is_sampled
from windvane.usecases.event_contracts import EventContracts

# deltalake 1.6 deprecates the argument that the adapter prunes partitions by
pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")

ROLLOUT = "delay/2/9"
NOW = f"{ROLLOUT}#0"
CANARY: dict[str, Any] = {"rollout": NOW, "arm": "challenger", "routed": "2", "answered": "2"}
FELL_BACK: dict[str, Any] = {**CANARY, "answered": "1", "flags": ["failed", "RUN-103", "fallback"]}


def counted(
    recording: RecorderHarness, events: Sequence[CountedEvent], known: EventContracts | None = None
) -> CountedUnits:
    known = EventContracts() if known is None else known
    with recording.store.read() as tx:
        known.load(tx, events)
    return count_units(known, events)


def begin(recording: RecorderHarness, *stages: Stage) -> None:
    """The record of the rollout, with these stages."""
    with recording.store.begin() as tx:
        tx.put_rollout(RolloutRecord(ROLLOUT, MODEL, "2", "1", START, stages))


def requests_of(found: CountedUnits) -> list[tuple[str, str, bool, bool]]:
    return [(one.arm, one.unit, one.failed, one.slow) for one in found.requests]


def events_of(found: CountedUnits, of: str = EVERYONE) -> list[tuple[str, str, str]]:
    return [(one.what, one.arm, one.unit) for one in found.events if one.slice == of]


# Who is counted, and as what


def test_a_first_request_and_what_happened_say_who_when_and_in_which_step(
    recording: RecorderHarness,
) -> None:
    later = {**FELL_BACK, "rollout": f"{ROLLOUT}#3"}
    found = counted(recording, [predicted("a", START + 5.0, "UA", unit="u1", **later)])
    assert found.requests == [
        FirstRequest(ROLLOUT, 3, "UA", "u1", "challenger", START + 5.0, True, False)
    ]
    assert found.events == [
        UnitEvent(ROLLOUT, FAILED, of, "UA", "u1", "challenger", 3, START + 5.0)
        for of in (EVERYONE, "tenant:UA")
    ]


def test_only_what_a_rollout_met_is_counted(recording: RecorderHarness) -> None:
    found = counted(
        recording,
        [
            predicted("a", flags=["failed"]),
            refused("b"),
            unanswered("c", "", ("champion", "u1")),
            outcome("a"),
        ],
    )
    assert found == CountedUnits([], [])


def test_each_row_counts_for_its_own_unit_and_arm(recording: RecorderHarness) -> None:
    event = msgspec.structs.replace(
        predicted("a", rows=3, **CANARY),
        units=["u1", "u2", "u3"],
        routes=[
            RouteTaken("2", "2", "challenger"),
            RouteTaken("2", "1", "challenger", ["failed", "RUN-103", "fallback"]),
            RouteTaken("1", "1", "champion"),
        ],
    )
    found = counted(recording, [event])
    assert requests_of(found) == [
        ("challenger", "u1", False, None),
        ("challenger", "u2", True, None),
        ("champion", "u3", False, None),
    ], "how long all of them took is of neither arm"
    assert events_of(found) == [(FAILED, "challenger", "u2")]


def test_what_has_no_like_in_the_other_arm_counts_for_neither(recording: RecorderHarness) -> None:
    """A stand-in answers the champion's rows like these, or they lack what the challenger takes."""
    flags = {**CANARY, "flags": ["unpaired", "failed", "RUN-103", "fallback"], "answered": "1"}
    champion = {**CANARY, "flags": ["unpaired"], "arm": "champion", "routed": "1"}
    events = [predicted("a", slow=True, **flags), predicted("b", **champion)]
    assert counted(recording, events) == CountedUnits([], [])


def test_who_was_owed_an_answer_and_got_none_failed_on_the_arm_that_owed_it(
    recording: RecorderHarness,
) -> None:
    """Else a challenger that breaks so that nothing can stand in for it would look well."""
    owing = (("challenger", "u1"), ("champion", "u2"), ("challenger", "u3"))
    found = counted(recording, [unanswered("a", NOW, *owing, tenant="UA")])
    assert requests_of(found) == [(arm, unit, True, False) for arm, unit in owing]
    assert events_of(found) == [(FAILED, arm, unit) for arm, unit in owing]
    assert events_of(found, "tenant:UA") == events_of(found)


def test_nobody_owes_a_request_that_broke_its_contract(recording: RecorderHarness) -> None:
    assert counted(recording, [unanswered("a", NOW)]) == CountedUnits([], [])


def test_a_hurried_row_was_too_slow(recording: RecorderHarness) -> None:
    """Its client did not wait: no failure of the version, and no sign that it is well."""
    hurried = {**CANARY, "flags": ["hurried", "RUN-108", "constant"], "answered": ""}
    champion = {**hurried, "arm": "champion", "routed": "1"}
    found = counted(recording, [predicted("a", **hurried), predicted("b", **champion)])
    assert [(arm, *rest) for arm, _, *rest in requests_of(found)] == [
        ("challenger", False, True), ("champion", False, True),
    ]  # fmt: skip
    assert {what for what, *_ in events_of(found)} == {SLOW}


@pytest.mark.parametrize("flags", [["stand_in"], ["lacks_feature"], ["stand_in", "failed"]])
def test_what_a_stand_in_answers_counts_for_neither_arm(
    recording: RecorderHarness, flags: list[str]
) -> None:
    by_design = predicted("a", rollout=NOW, arm="fallback", flags=flags, slow=True)
    nobody = unanswered("b", NOW, ("fallback", "u1"), ("challenger", "u2"))
    found = counted(recording, [by_design, nobody])
    assert requests_of(found) == [("challenger", "u2", True, False)]
    assert events_of(found) == [(FAILED, "challenger", "u2")]


@pytest.mark.parametrize("answered", [True, False])
def test_rows_without_a_unit_are_one_of_their_key_and_minute(
    recording: RecorderHarness, answered: bool
) -> None:
    """Rows of one caller depend on each other: each by itself would be too much evidence."""

    def sent(request: str, ts: float, key: str) -> CountedEvent:
        if answered:
            return predicted(request, ts, unit="", key=key, **CANARY)
        return unanswered(request, NOW, ("challenger", ""), ts=ts, key=key)

    found = counted(
        recording,
        [
            sent("a", START, "k1"), sent("b", START + 59.9, "k1"), sent("c", START + 60.0, "k1"),
            sent("d", START, "k2"), predicted("e", START, unit="k1", **CANARY),
        ],
    )  # fmt: skip
    units = [one.unit for one in found.requests]
    assert units[0] == units[1]
    assert len(set(units)) == 4, "the next minute, another key and a unit of the key's name"


def test_a_row_without_a_unit_is_the_same_whether_it_is_answered(
    recording: RecorderHarness,
) -> None:
    found = counted(
        recording,
        [predicted("a", unit="", **FELL_BACK), unanswered("b", NOW, ("challenger", ""))],
    )
    first, second = found.requests
    assert first == second


# The champion's sample


UNITS = [f"u{i}" for i in range(2_000)]


def test_of_the_champions_first_requests_a_sample_of_the_units_is_kept(
    recording: RecorderHarness,
) -> None:
    begin(recording, Stage(0.05, START, 1e6, 0.25))
    well = [predicted(f"a{u}", unit=u, rollout=NOW) for u in UNITS]
    found = counted(recording, well)
    assert {one.arm for one in found.requests} == {"champion"}
    kept = {one.unit for one in found.requests}
    assert len(kept) == len(found.requests) == pytest.approx(500, abs=80)
    again = counted(recording, well)
    assert again == found, "a unit is in the sample or not, whenever it asks"
    ill = [predicted(f"b{u}", unit=u, rollout=NOW, flags=["failed"], slow=True) for u in UNITS]
    assert {one.unit for one in counted(recording, ill).requests} == kept, "and whatever happens"


def test_what_happens_to_a_unit_of_the_champions_is_never_sampled(
    recording: RecorderHarness,
) -> None:
    """The arms' first failures are compared with each other by the share alone."""
    begin(recording, Stage(0.05, START, 100_000.0, 0.01))
    events: list[CountedEvent] = [
        predicted(f"a{u}", unit=u, rollout=NOW, flags=["failed"], slow=True) for u in UNITS[:50]
    ]
    events += [unanswered(f"b{u}", NOW, ("champion", u)) for u in UNITS[50:100]]
    found = counted(recording, events)
    assert len(found.requests) < 10
    assert Counter(what for what, _, _ in events_of(found)) == {FAILED: 100, SLOW: 50}


def test_every_unit_of_the_challengers_is_kept(recording: RecorderHarness) -> None:
    begin(recording, Stage(0.05, START, 1e6, 0.01))
    found = counted(recording, [predicted(f"a{u}", unit=u, **CANARY) for u in UNITS[:100]])
    assert [one.unit for one in found.requests] == UNITS[:100]


def test_where_no_record_of_the_rollout_is_known_all_units_are_kept(
    recording: RecorderHarness,
) -> None:
    found = counted(recording, [predicted(f"a{u}", unit=u, rollout=NOW) for u in UNITS[:100]])
    assert len(found.requests) == 100


@given(st.text(max_size=9), st.text(max_size=9), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_sample_has_all_of_a_smaller_one(
    tenant: str, unit: str, one: float, two: float
) -> None:
    small, large = sorted((one, two))
    assert is_sampled(tenant, unit, large) or not is_sampled(tenant, unit, small)
    assert is_sampled(tenant, unit, 1.0)
    assert not is_sampled(tenant, unit, 0.0)


def test_tenants_units_of_one_name_are_drawn_apart() -> None:
    both = sum(is_sampled("AA", u, 0.25) and is_sampled("UA", u, 0.25) for u in UNITS)
    assert both == pytest.approx(125, abs=40)


# What is slow


def slow_units(recording: RecorderHarness, rollout: str = NOW) -> list[str]:
    """Of units whose requests took 0.9 ms and 150 ms, those that are slow."""
    sent = {**CANARY, "rollout": rollout}
    found = counted(
        recording,
        [predicted("a", unit="fast", **sent), predicted("b", unit="b", slow=True, **sent)],
    )
    slow = [unit for _, unit, _, slow in requests_of(found) if slow]
    assert [(SLOW, "challenger", unit) for unit in slow] == events_of(found)
    assert len(found.requests) == 2
    return slow


@pytest.mark.parametrize(
    ("slow_us", "slow"), [(899.0, ["fast", "b"]), (900.0, ["b"]), (149_999.0, ["b"]), (2e5, [])]
)
def test_what_is_slow_is_by_the_stage(
    recording: RecorderHarness, slow_us: float, slow: list[str]
) -> None:
    """As it was begun: the model's file, which says 100 ms, may be another by now."""
    begin(recording, Stage(0.1, START, slow_us))
    assert slow_units(recording) == slow


def test_what_is_slow_is_by_the_models_file_where_the_stage_is_not_known(
    recording: RecorderHarness,
) -> None:
    """A rollout that an earlier release began, or a step that the record has not."""
    assert slow_units(recording) == ["b"]
    begin(recording, Stage(0.1, START, 1.0))
    assert slow_units(recording) == ["fast", "b"]
    assert slow_units(recording, f"{ROLLOUT}#1") == ["b"]
    apply_model(recording.store, recording.clock, FILE.replace("100ms", "200ms"))
    assert slow_units(recording, f"{ROLLOUT}#1") == []


def test_a_stage_that_begins_is_known_with_its_first_events(recording: RecorderHarness) -> None:
    """To a recorder that met the rollout before, and before it had a record."""
    known = EventContracts()
    slow = [
        predicted(f"a{i}", slow=True, **{**CANARY, "rollout": f"{ROLLOUT}#{i}"}) for i in (0, 1)
    ]

    def seen(event: CountedEvent) -> bool:
        (request,) = counted(recording, [event], known).requests
        return request.slow

    assert [seen(one) for one in slow] == [True, True]
    begin(recording, Stage(0.1, START, 2e5))
    assert [seen(one) for one in slow] == [False, True]
    begin(recording, Stage(0.1, START, 2e5), Stage(0.5, START, 3e5))
    assert [seen(one) for one in slow] == [False, False]


# Slices


SEGMENTS = FILE.replace("  min_rows: 20\n", "  min_rows: 20\n  segments: [tenant, carrier]\n")


def slices_of(found: CountedUnits) -> list[tuple[str, str]]:
    return [(one.unit, one.slice) for one in found.events]


@pytest.mark.parametrize(
    ("carrier", "segment"),
    [("dl", "segment:carrier=dl"), ("ev", "segment:carrier=ev"), ("??", "segment:carrier=other")],
)
@pytest.mark.parametrize("what", [{"flags": ["failed"]}, {"slow": True}])
def test_the_declared_segment_of_a_row_is_a_slice(
    recording: RecorderHarness, carrier: str, segment: str, what: dict[str, Any]
) -> None:
    apply_model(recording.store, recording.clock, SEGMENTS)
    bad = predicted("a", values=[500.0, carrier, 60.0], rollout=NOW, arm="challenger", **what)
    assert slices_of(counted(recording, [bad])) == [
        ("u1", EVERYONE), ("u1", "tenant:AA"), ("u1", segment),
    ]  # fmt: skip


def test_each_row_is_in_its_own_segment(recording: RecorderHarness) -> None:
    apply_model(recording.store, recording.clock, SEGMENTS)
    event = msgspec.structs.replace(
        predicted("a", rows=3, rollout=NOW),
        units=["u1", "u2", "u3"],
        features=[[500.0] * 3, ["dl", "ev", "mq"], [60.0] * 3],
        routes=[
            RouteTaken("1", "", "challenger", ["failed"]),
            RouteTaken("1", "1", "challenger"),
            RouteTaken("1", "", "champion", ["failed"]),
        ],
    )
    found = slices_of(counted(recording, [event]))
    assert [one for one in found if one[1].startswith("segment:")] == [
        ("u1", "segment:carrier=dl"), ("u3", "segment:carrier=mq"),
    ]  # fmt: skip


def test_a_row_that_is_in_no_segment_is_in_the_other_slices(recording: RecorderHarness) -> None:
    """Of a version that is gone, and of a request without an answer, no value can be told."""
    apply_model(recording.store, recording.clock, SEGMENTS)
    found = counted(
        recording,
        [predicted("a", unit="u1", **FELL_BACK), unanswered("b", NOW, ("challenger", "u2"))],
    )
    assert slices_of(found) == [
        (unit, of) for unit in ("u1", "u2") for of in (EVERYONE, "tenant:AA")
    ]


def test_without_declared_segments_there_are_none(recording: RecorderHarness) -> None:
    bad = predicted("a", rollout=NOW, flags=["failed"])
    assert slices_of(counted(recording, [bad])) == [("u1", EVERYONE), ("u1", "tenant:AA")]


# What no gateway writes


BAD_LABELS = [ROLLOUT, f"{ROLLOUT}#", f"{ROLLOUT}#many", f"{ROLLOUT}#-1", f"{ROLLOUT}#1000001"]


@pytest.mark.parametrize("label", BAD_LABELS)
@pytest.mark.parametrize("answered", [True, False])
def test_an_event_with_a_bad_label_is_set_aside_and_all_others_count(
    recording: RecorderHarness, label: str, answered: bool
) -> None:
    sent = {**CANARY, "rollout": label}
    bad = predicted("a", **sent) if answered else unanswered("a", label, ("challenger", "u1"))
    recording.write([predicted("b", unit="u2", **CANARY), bad, predicted("c", unit="u3", **CANARY)])
    recording.start().step()
    (facts,) = recording.units(ROLLOUT)
    assert facts.challenger.units == 2
    with recording.store.read() as tx:
        (item,) = tx.quarantined()
    assert item.reason == "REC-106"


def test_units_that_do_not_fit_their_arms_are_set_aside(recording: RecorderHarness) -> None:
    good = unanswered("a", NOW, ("challenger", "u1"))
    recording.write([good, msgspec.structs.replace(good, event_id="b", units=["u1", "u2"])])
    recording.start().step()
    (facts,) = recording.units(ROLLOUT)
    assert facts.challenger.units == 1
    with recording.store.read() as tx:
        (item,) = tx.quarantined()
    assert item.reason == "REC-106"
