"""Labels that stopped, came late or joined nothing are told, of whom it concerns."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from usecases.harness import MODEL, Harness
from usecases.labelled import CHANGED, calibrated, serve, watch, watch_healthy
from usecases.worlds import Worlds

from windvane.ports.control_store import WindowVerdict
from windvane.usecases.actions import About
from windvane.usecases.monitors.labels import Labels
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
def stopped(worlds: Worlds) -> Iterator[Harness]:
    """No labels come since three windows."""
    with worlds.after(watch, watch_healthy, stop) as found:
        yield found


@pytest.fixture
def stopped_of_one(worlds: Worlds) -> Iterator[Harness]:
    """No labels of one tenant come since four windows."""
    with worlds.after(watch, watch_healthy, stop_tenant) as found:
        yield found


def none_told(_tenant: str, _window: int) -> str:
    return "no"


def one_untold(tenant: str, _window: int) -> str:
    return "no" if tenant == "WN" else "yes"


def stop(harness: Harness) -> None:
    serve(harness, 3, calibrated, first=CHANGED, told=none_told)


def stop_tenant(harness: Harness) -> None:
    serve(harness, 4, calibrated, first=CHANGED, told=one_untold)


def members(harness: Harness) -> set[str]:
    return {
        m
        for i in harness.incidents()
        if i.closed_at is None
        for m in i.members
        if m.startswith("labels/")
    }


def last_look(harness: Harness) -> WindowVerdict:
    with harness.store.read() as tx:
        found = tx.verdicts(MODEL, Labels.name, 0.0, 1_000)
    return max((v for v in found if not v.subject), key=lambda v: v.start)


def test_labels_that_come_as_ever_are_no_finding(healthy: Harness) -> None:
    assert members(healthy) == set()
    look = last_look(healthy)
    assert (look.outcome, look.code) == ("pass", "ABS-210")
    assert look.detail["coverage"] == 1.0
    assert look.detail["age"] == 1.0


def test_labels_that_stopped_are_one_incident_and_end_when_they_come_again(
    stopped: Harness,
) -> None:
    assert members(stopped) == {f"labels/labels:{MODEL}"}
    (incident,) = [i for i in stopped.incidents() if i.kind == "labels"]
    assert incident.title.startswith("0.0% of 238 predictions have a label after 1 s, usually 100")
    judged = [d for d in stopped.decisions() if d.judge == "labels"]
    assert judged
    assert all(replay_decision(d).same for d in judged)
    serve(stopped, 5, calibrated, first=CHANGED + 3)
    assert members(stopped) == set()


def test_labels_of_one_tenant_that_stopped_are_that_tenants(stopped_of_one: Harness) -> None:
    assert members(stopped_of_one) == {"labels/tenant_labels:WN"}


def test_labels_that_join_nothing_explain_those_that_are_missing(healthy: Harness) -> None:
    serve(healthy, 3, calibrated, first=CHANGED, told=lambda _tenant, _window: "stray")
    assert members(healthy) == {f"labels/labels:{MODEL}", f"labels/labels_unjoined:{MODEL}"}
    (incident,) = [i for i in healthy.incidents() if i.kind == "labels_unjoined"]
    assert "join no prediction, usually 0.0%" in incident.title


def test_where_no_label_ever_came_nobody_can_tell(watched: Harness) -> None:
    serve(watched, 4, calibrated, told=none_told)
    assert members(watched) == set()
    assert watched.carried(Labels.name)[""]["age_s"] == 0.0


def test_what_was_closed_by_hand_is_found_again_while_labels_are_missing(
    stopped: Harness,
) -> None:
    """By what was usual before: else labels that stopped would be usual."""
    (incident,) = [i for i in stopped.incidents() if i.kind == "labels"]
    before = stopped.carried(Labels.name)[""]
    stopped.act("close", About.INCIDENT, incident=incident.id, reason="seen")
    after = stopped.carried(Labels.name)[""]
    assert after["faults"]["missing"]["level"] == before["faults"]["missing"]["level"]
    assert (after["age_s"], after["open"]) == (before["age_s"], {})
    serve(stopped, 3, calibrated, first=CHANGED + 3, told=none_told)
    assert members(stopped) == {f"labels/labels:{MODEL}"}
    assert "usually 100" in last_look(stopped).sentence
    serve(stopped, 5, calibrated, first=CHANGED + 6)
    assert members(stopped) == set()
    assert not stopped.carried(Labels.name)[""]["age_kept"]


def test_how_labels_come_is_learned_anew_once_that_was_accepted(stopped: Harness) -> None:
    (incident,) = [i for i in stopped.incidents() if i.kind == "labels"]
    stopped.act("accept", About.INCIDENT, incident=incident.id, reason="weekly from now on")
    assert stopped.carried(Labels.name)[""]["faults"] == {}
    serve(stopped, 3, calibrated, first=CHANGED + 3, told=none_told)
    assert members(stopped) == set()


def test_the_incident_of_one_tenant_closed_by_hand_is_found_again(stopped_of_one: Harness) -> None:
    (incident,) = [i for i in stopped_of_one.incidents() if i.kind == "tenant_labels"]
    stopped_of_one.act("close", About.INCIDENT, incident=incident.id, reason="seen")
    assert members(stopped_of_one) == set()
    serve(stopped_of_one, 4, calibrated, first=CHANGED + 4, told=one_untold)
    assert members(stopped_of_one) == {"labels/tenant_labels:WN"}
