"""The audit tells predictions that were made elsewhere from those that were asked for here."""

from __future__ import annotations

from windvane.ports.control_store import Access
from windvane.ports.events import Predicted, RouteTaken
from windvane.usecases.record_access import accesses


def predicted(event: str, ts: float, *flags: str) -> Predicted:
    route = RouteTaken("1", "1", "champion", list(flags))
    return Predicted(event, ts, "m", "t", "c", "", 0, 1, "", [route], [1.0], [0.5], event, "k1")


def test_each_is_counted_as_what_it_was() -> None:
    found = accesses(
        [predicted("a", 1.0, "imported"), predicted("b", 2.0), predicted("c", 3.0, "imported")]
    )
    assert found == [
        Access("t", "k1", "m", "events", 0.0, 2, 1.0, 3.0),
        Access("t", "k1", "m", "predict", 0.0, 1, 2.0, 2.0),
    ]
