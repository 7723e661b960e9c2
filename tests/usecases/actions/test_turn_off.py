"""A model that is turned off answers nobody, and what is deployed stays as it is."""

from __future__ import annotations

import pytest
from usecases.harness import MODEL, Harness

from windvane.usecases.actions.turn_off import CannotTurn


def is_off(harness: Harness) -> bool:
    with harness.store.read() as tx:
        table = tx.routing()
    assert table is not None
    return table.models[MODEL].off


def test_it_is_off_for_the_gateways_until_it_is_turned_on(harness: Harness) -> None:
    harness.put("2", previous="1", challenger="1", share=0.1)
    assert harness.act("off", reason="it insults people").reason == "it insults people"
    assert is_off(harness)
    assert harness.act("on").verdict.sentence == "delay was turned on: version 2 answers"
    assert not is_off(harness)
    live = harness.live
    assert (live.champion, live.previous, live.challenger, live.off) == ("2", "1", "1", False)


@pytest.mark.parametrize(
    ("name", "off", "said"),
    [("off", True, "is turned off already"), ("on", False, "is not turned off")],
)
def test_twice_is_refused_and_changes_nothing(
    harness: Harness, name: str, off: bool, said: str
) -> None:
    held = harness.put("2", off=off)
    with pytest.raises(CannotTurn, match=said):
        harness.act(name)
    assert harness.live == held
    assert harness.decisions(name) == []


def test_a_rollback_leaves_it_off(harness: Harness) -> None:
    harness.put("2", previous="1", off=True)
    harness.act("roll-back")
    assert harness.live.off
    assert is_off(harness)
