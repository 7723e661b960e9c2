"""What is undeployed is neither routed nor judged any more, and can be deployed as new."""

from __future__ import annotations

import pytest
from usecases.harness import MODEL, START, WINDOW_S, Harness

from windvane.usecases.actions.deploy import deploy_version
from windvane.usecases.actions.undeploy import CannotUndeploy


def test_nothing_of_it_is_routed_watched_or_open(harness: Harness) -> None:
    harness.put("1")
    for index in range(12):
        harness.traffic(index)
        harness.judge()
    harness.traffic(12, refused={"AA": 90})
    harness.judge()
    (incident,) = harness.incidents()
    decision = harness.act("undeploy", reason="retired")
    with harness.store.read() as tx:
        table = tx.routing()
        assert table is not None
        assert MODEL not in table.models
        assert tx.deployment(MODEL) is None
        assert tx.progress([MODEL]) == {}
        assert tx.monitor_states([MODEL]) == []
        assert tx.due_models(1e18) == []
        closed = tx.incident(incident.id)
        assert closed.closed_at == harness.clock.at
        assert [n.decision for n in tx.notes(incident.id)][-1] == decision.id
    with pytest.raises(CannotUndeploy, match="no version of delay is live"):
        harness.act("undeploy")


def test_deployed_again_it_begins_anew_and_judges_no_window_from_before(harness: Harness) -> None:
    harness.put("1")
    for index in range(3):
        harness.traffic(index)
        harness.judge()
    harness.act("undeploy")
    harness.clock.at = START + 500 * WINDOW_S
    live = deploy_version(harness.store, harness.clock, MODEL, "2")
    assert (live.champion, live.previous, live.off) == ("2", None, False)
    before = {v.start for v in verdicts(harness)}
    harness.traffic(501, version="2")
    while harness.judge():
        pass
    fresh = {v.start for v in verdicts(harness)} - before
    assert fresh == {START + 501 * WINDOW_S}


def verdicts(harness: Harness) -> list[object]:
    with harness.store.read() as tx:
        return tx.verdicts(MODEL, "", 0.0, 10_000)  # pyright: ignore[reportReturnType]
