"""A model that fails to answer: rolled back where there is a version before it."""

from __future__ import annotations

import numpy as np
import pytest
from usecases.harness import FILE, MODEL, START, WINDOW_S, Harness
from usecases.timeline import FAILING, QUIET, only, play

from windvane.core.sketch import TRAFFIC, Sketch
from windvane.ports.control_store import Checkpoint, WindowKey
from windvane.usecases.actions import About
from windvane.usecases.monitors.errors import Errors
from windvane.usecases.publish_routing import ALIAS
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.replay_decision import replay_decision

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")


def test_errors_roll_back_to_the_version_before(harness: Harness) -> None:
    harness.put("1", previous="2")
    play(harness, [QUIET] * 3 + [FAILING] * 3)
    live = harness.live
    assert (live.champion, live.previous) == ("2", None)
    incident = only(harness, f"errors:{MODEL}")
    assert harness.timeline(incident)[1] == (
        "rolled back from version 1 to version 2 "
        "(AUC 0.700 instead of 0.700 when they were accepted)"
    )
    with harness.store.read() as tx:
        table = tx.routing()
    assert table is not None
    assert table.models[MODEL].champion == "2"
    assert len(harness.decisions("rollback")) == 1
    assert replay_decision(harness.decisions("rollback")[0]).same


def test_without_a_version_before_it_only_tells(harness: Harness) -> None:
    play(harness, [QUIET] * 3 + [FAILING] * 3)
    assert harness.live.champion == "1"
    incident = only(harness, f"errors:{MODEL}")
    assert "no earlier version to roll back to" in harness.timeline(incident)
    assert len(harness.decisions("notify")) == 1


def test_a_canarys_errors_are_its_gates(harness: Harness) -> None:
    harness.put("1", challenger="2", share=0.1, rollout="r", rollout_started=START)
    for i in range(6):
        harness.traffic(i)
        harness.traffic(i, rows=20, failed=20, arm="challenger", version="2")
        harness.judge()
    assert harness.incidents() == []
    assert harness.live.champion == "1"


def test_a_rollout_under_way_is_named_as_the_reason(harness: Harness) -> None:
    harness.put("1", previous="2", challenger="2", share=0.1, rollout="r", rollout_started=START)
    play(harness, [QUIET] * 3 + [FAILING] * 3)
    message = harness.timeline(only(harness, f"errors:{MODEL}"))
    assert not any("no earlier version" in line for line in message)


def test_a_stand_in_does_not_answer_for_another_champion(harness: Harness) -> None:
    """The one that stood in and failed went on answering, and another was barred for it."""
    harness.put("1", previous="2", standing_in="2", broken_views=("weather",))
    play(harness, [QUIET] * 3 + [FAILING] * 3)
    assert (harness.live.champion, harness.live.standing_in) == ("2", None)


def test_the_registrys_alias_follows_whoever_rolls_back(harness: Harness) -> None:
    harness.put("1", previous="2")
    play(harness, [QUIET] * 3 + [FAILING] * 3)
    alias = {"model": MODEL, "alias": "champion", "version": "2"}
    assert harness.queued(ALIAS) == [alias]


def broken_at(harness: Harness, index: int, tenants: dict[str, tuple[int, int]]) -> None:
    """A window with (rows, failed) of each tenant."""
    start = START + WINDOW_S * index
    empty = Sketch.empty(harness.layout.id, harness.layout.size)
    made: dict[WindowKey, Sketch] = {}
    for tenant, (rows, failed) in tenants.items():
        told = {"rows": rows, "requests": rows, "execution_errors": failed}
        traffic = np.array([told.get(name, 0) for name in TRAFFIC], np.int64)
        key = WindowKey(MODEL, start, "1", "champion", tenant, "r1")
        made[key] = Sketch(harness.layout.id, empty.features, traffic, empty.latency)
    with harness.store.begin() as tx:
        tx.add_sketches(made)
        tx.set_checkpoint(Checkpoint("m/w0", 0, start + WINDOW_S))
    harness.clock.at = start + WINDOW_S
    assert harness.judge()


def healthy(tenants: int) -> dict[str, tuple[int, int]]:
    return {f"t{i}": (40, 0) for i in range(tenants)}


@pytest.mark.parametrize(("rows", "failed"), [(40, 40), (400, 400), (200, 60)])
def test_what_fails_for_one_tenant_alone_is_that_tenants(
    harness: Harness, rows: int, failed: int
) -> None:
    """It was the model's: everybody was rolled back for the rows of one."""
    harness.put("1", previous="2")
    for i in range(20):
        broken_at(harness, i, {**healthy(5), "UA": (rows, 0)})
    for i in range(20, 24):
        broken_at(harness, i, {**healthy(5), "UA": (rows, failed)})
    incident = only(harness, "tenant_errors:UA")
    assert [i.cause for i in harness.incidents()] == ["tenant_errors:UA"]
    assert incident.since == START + WINDOW_S * 20
    assert incident.title.startswith("errors of tenant UA: failed ")
    assert incident.evidence["tenants"] == [{"tenant": "UA"}]
    assert harness.live.champion == "1"
    for i in range(24, 34):
        broken_at(harness, i, {**healthy(5), "UA": (rows, 0)})
    assert only(harness, "tenant_errors:UA").closed_at is not None


def test_what_fails_for_most_is_the_models_though_one_has_most_of_it(harness: Harness) -> None:
    for i in range(20):
        broken_at(harness, i, {**healthy(3), "UA": (400, 0)})
    for i in range(20, 24):
        broken_at(harness, i, {"t0": (40, 20), "t1": (40, 20), "t2": (40, 20), "UA": (400, 200)})
    incident = only(harness, f"errors:{MODEL}")
    assert [i.cause for i in harness.incidents()] == [incident.cause]
    assert incident.evidence["tenants"][0] == {"tenant": "UA", "failed": 200, "rows": 400}


def test_when_the_others_are_well_again_the_model_is_and_one_tenant_is_named(
    harness: Harness,
) -> None:
    for i in range(20):
        broken_at(harness, i, healthy(4))
    for i in range(20, 23):
        broken_at(harness, i, {t: (n, n) for t, (n, _) in healthy(4).items()})
    assert only(harness, f"errors:{MODEL}").closed_at is None
    for i in range(23, 40):
        broken_at(harness, i, {**healthy(4), "t3": (40, 40)})
    assert only(harness, f"errors:{MODEL}").closed_at is not None
    assert only(harness, "tenant_errors:t3").closed_at is None


def test_an_incident_of_a_tenant_that_was_closed_by_hand_is_found_again(harness: Harness) -> None:
    for i in range(20):
        broken_at(harness, i, healthy(4))
    for i in range(20, 22):
        broken_at(harness, i, {**healthy(4), "t3": (40, 40)})
    held = only(harness, "tenant_errors:t3")
    harness.act("close", About.INCIDENT, incident=held.id)
    broken_at(harness, 22, {**healthy(4), "t3": (40, 40)})
    assert sorted(i.closed_at is None for i in harness.incidents()) == [False, True]


def test_each_tenant_takes_part_in_the_budget() -> None:
    assert Errors().streams(read_model_file(FILE), 7) == 9
