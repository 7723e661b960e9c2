"""A process is unavailable only without what its own work needs, and not knowing is never ok."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.health import (
    Dependency,
    DependencyState,
    Readiness,
    WatcherFacts,
    judge_database,
    judge_disk,
    judge_log_storage,
    judge_routing_file,
    judge_served_versions,
    judge_shared,
    judge_spool,
    judge_unseen_watchers,
    judge_watchers,
    readiness,
)

OK, DEGRADED, DOWN, UNKNOWN = (
    DependencyState.OK, DependencyState.DEGRADED, DependencyState.DOWN, DependencyState.UNKNOWN,
)  # fmt: skip


@pytest.mark.parametrize(
    ("found", "state", "code"),
    [
        (judge_database(""), OK, "HLT-600"),
        (judge_database("gone"), DOWN, "HLT-601"),
        (judge_log_storage(""), OK, "HLT-600"),
        (judge_log_storage("gone"), DOWN, "HLT-602"),
        (judge_routing_file(None, None), OK, "HLT-600"),
        (judge_routing_file(3, 3), OK, "HLT-600"),
        (judge_routing_file(4, 3), OK, "HLT-600"),
        (judge_routing_file(2, 3), DEGRADED, "HLT-605"),
        (judge_routing_file(None, 3), DEGRADED, "HLT-605"),
        (judge_routing_file(3, 3, "torn"), DOWN, "HLT-604"),
        (judge_served_versions(3, 0), OK, "HLT-600"),
        (judge_served_versions(2, 1), DEGRADED, "HLT-607"),
        (judge_served_versions(0, 2), DOWN, "HLT-607"),
        (judge_disk(10 << 30), OK, "HLT-600"),
        (judge_disk(None, "the disk does not answer"), UNKNOWN, "HLT-611"),
        (judge_disk(200 << 20), DEGRADED, "HLT-611"),
        (judge_disk(0), DOWN, "HLT-611"),
        (judge_spool(False), OK, "HLT-600"),
        (judge_spool(True), DOWN, "HLT-608"),
        (judge_shared("limits", False, "w"), OK, "HLT-600"),
        (judge_shared("limits", True, "w"), DEGRADED, "HLT-609"),
    ],
)
def test_each_has_its_code(found: Dependency, state: DependencyState, code: str) -> None:
    assert (found.state, found.code) == (state, code)
    assert found.why


@pytest.mark.parametrize(
    ("ago", "held", "states", "codes"),
    [
        (3.0, 16, (OK, OK), ("HLT-600", "HLT-600")),
        (60.0, 16, (OK, OK), ("HLT-600", "HLT-600")),
        (61.0, 16, (DOWN, OK), ("HLT-402", "HLT-600")),
        (None, 16, (UNKNOWN, OK), ("HLT-401", "HLT-600")),
        (3.0, 9, (OK, DEGRADED), ("HLT-600", "HLT-603")),
        (3.0, 0, (OK, DOWN), ("HLT-600", "HLT-403")),
    ],
)
def test_who_works_beside_the_console(
    ago: float | None, held: int, states: tuple[str, str], codes: tuple[str, str]
) -> None:
    found = judge_watchers(WatcherFacts(ago, held, 16, 1))
    assert tuple(one.state for one in found) == states
    assert tuple(one.code for one in found) == codes


def test_a_database_that_is_down_says_nothing_of_the_others() -> None:
    assert {one.state for one in judge_unseen_watchers()} == {UNKNOWN}


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from(DependencyState))))
def test_only_what_is_essential_makes_unavailable(
    found: list[tuple[str, DependencyState]],
) -> None:
    word = readiness([Dependency(name, state, "HLT-600", "") for name, state in found], ("a",))
    states = {state for _, state in found}
    assert (word is Readiness.UNAVAILABLE) == (("a", DOWN) in found)
    assert (word is Readiness.READY) == (states <= {OK})


def test_where_no_version_can_be_loaded_nobody_stands_in() -> None:
    assert judge_served_versions(0, 2).why == (
        "none of 2 versions can be loaded: no version answers anybody"
    )
    assert "others stand in" in judge_served_versions(2, 1).why
