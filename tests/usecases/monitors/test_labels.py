"""Labels that stopped, came late or joined nothing are told, of whom it concerns."""

from __future__ import annotations

import pytest
from usecases.harness import MODEL, Harness
from usecases.labelled import CHANGED, TEXT, calibrated, serve

from windvane.ports.control_store import WindowVerdict
from windvane.usecases.actions import About
from windvane.usecases.monitors.labels import Labels
from windvane.usecases.replay_decision import replay_decision

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")


@pytest.fixture
def watched(harness: Harness) -> Harness:
    harness.clock.at += 1
    harness.apply(TEXT)
    return harness


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


def test_labels_that_come_as_ever_are_no_finding(watched: Harness) -> None:
    serve(watched, 12, calibrated)
    assert members(watched) == set()
    look = last_look(watched)
    assert (look.outcome, look.code) == ("pass", "ABS-210")
    assert look.detail["coverage"] == 1.0
    assert look.detail["age"] == 1.0


def test_labels_that_stopped_are_one_incident_and_end_when_they_come_again(
    watched: Harness,
) -> None:
    def told(_tenant: str, window: int) -> str:
        return "no" if CHANGED <= window < CHANGED + 3 else "yes"

    serve(watched, CHANGED + 3, calibrated, told=told)
    assert members(watched) == {f"labels/labels:{MODEL}"}
    (incident,) = [i for i in watched.incidents() if i.kind == "labels"]
    assert incident.title.startswith("0.0% of 238 predictions have a label after 1 s, usually 100")
    judged = [d for d in watched.decisions() if d.judge == "labels"]
    assert judged
    assert all(replay_decision(d).same for d in judged)
    serve(watched, 5, calibrated, first=CHANGED + 3, told=told)
    assert members(watched) == set()


def test_labels_of_one_tenant_that_stopped_are_that_tenants(watched: Harness) -> None:
    def told(tenant: str, window: int) -> str:
        return "no" if tenant == "WN" and window >= CHANGED else "yes"

    serve(watched, CHANGED + 4, calibrated, told=told)
    assert members(watched) == {"labels/tenant_labels:WN"}


def test_labels_that_join_nothing_explain_those_that_are_missing(watched: Harness) -> None:
    def told(_tenant: str, window: int) -> str:
        return "stray" if window >= CHANGED else "yes"

    serve(watched, CHANGED + 3, calibrated, told=told)
    assert members(watched) == {f"labels/labels:{MODEL}", f"labels/labels_unjoined:{MODEL}"}
    (incident,) = [i for i in watched.incidents() if i.kind == "labels_unjoined"]
    assert "join no prediction, usually 0.0%" in incident.title


def test_where_no_label_ever_came_nobody_can_tell(watched: Harness) -> None:
    serve(watched, 4, calibrated, told=lambda _tenant, _window: "no")
    assert members(watched) == set()
    assert watched.carried(Labels.name)[""]["age_s"] == 0.0


def stopped(_tenant: str, window: int) -> str:
    return "no" if CHANGED <= window < CHANGED + 6 else "yes"


def test_what_was_closed_by_hand_is_found_again_while_labels_are_missing(
    watched: Harness,
) -> None:
    """By what was usual before: else labels that stopped would be usual."""
    serve(watched, CHANGED + 3, calibrated, told=stopped)
    (incident,) = [i for i in watched.incidents() if i.kind == "labels"]
    before = watched.carried(Labels.name)[""]
    watched.act("close", About.INCIDENT, incident=incident.id, reason="seen")
    after = watched.carried(Labels.name)[""]
    assert after["faults"]["missing"]["level"] == before["faults"]["missing"]["level"]
    assert (after["age_s"], after["open"]) == (before["age_s"], {})
    serve(watched, 3, calibrated, first=CHANGED + 3, told=stopped)
    assert members(watched) == {f"labels/labels:{MODEL}"}
    assert "usually 100" in last_look(watched).sentence
    serve(watched, 5, calibrated, first=CHANGED + 6, told=stopped)
    assert members(watched) == set()
    assert not watched.carried(Labels.name)[""]["age_kept"]


def test_how_labels_come_is_learned_anew_once_that_was_accepted(watched: Harness) -> None:
    serve(watched, CHANGED + 3, calibrated, told=stopped)
    (incident,) = [i for i in watched.incidents() if i.kind == "labels"]
    watched.act("accept", About.INCIDENT, incident=incident.id, reason="weekly from now on")
    assert watched.carried(Labels.name)[""]["faults"] == {}
    serve(watched, 3, calibrated, first=CHANGED + 3, told=stopped)
    assert members(watched) == set()


def test_the_incident_of_one_tenant_closed_by_hand_is_found_again(watched: Harness) -> None:
    def told(tenant: str, window: int) -> str:
        return "no" if tenant == "WN" and window >= CHANGED else "yes"

    serve(watched, CHANGED + 4, calibrated, told=told)
    (incident,) = [i for i in watched.incidents() if i.kind == "tenant_labels"]
    watched.act("close", About.INCIDENT, incident=incident.id, reason="seen")
    assert members(watched) == set()
    serve(watched, 4, calibrated, first=CHANGED + 4, told=told)
    assert members(watched) == {"labels/tenant_labels:WN"}
