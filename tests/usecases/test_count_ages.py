"""How old rows are is counted beside a version's layout, once the model's file asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from usecases.harness import FILE, MODEL, START
from usecases.recording import Events, RecorderHarness, predicted

from windvane.core.sketch import Layout, Sketch
from windvane.ports.control_store import WindowKey
from windvane.ports.events import Predicted, RouteTaken
from windvane.usecases.apply_model import apply_model
from windvane.usecases.count_rows import fit_layout
from windvane.usecases.gather_derived import Ages, Derived, gather_derived
from windvane.usecases.publish_routing import routing_effects
from windvane.usecases.read_model_file import read_model_file

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")

WITH_TIME = FILE.replace(
    "    temp: {type: number, nullable: true}\n",
    "    temp: {type: number, nullable: true}\n    seen: {type: datetime, nullable: true}\n",
)
ASKED = WITH_TIME.replace(
    "  errors: 2%\n", "  errors: 2%\n  fresh: {weather: {time: seen, within: 2h}}\n"
)
H = 3_600.0


def apply(recording: RecorderHarness, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recording.clock.at += 1.0
    apply_model(recording.store, recording.clock, text)
    with recording.store.begin() as tx:
        routing_effects(tx)
        table = tx.routing()
    assert table is not None
    monkeypatch.setattr(Events, "contract", table.models[MODEL].contract.id)


def seen(name: str, at: float, age: float | None, **given: Any) -> Predicted:
    values = [500.0, "dl", 60.0, None if age is None else at - age]
    return predicted(name, at, values=values, **given)


def sketches(recording: RecorderHarness) -> list[tuple[WindowKey, Sketch]]:
    """All of them: a key has one for each layout."""
    with recording.store.read() as tx:
        return tx.sketches(MODEL, 0.0, 1e12)


def ages(recording: RecorderHarness) -> Ages:
    return counted_beside(recording).ages


def counted_beside(recording: RecorderHarness) -> Derived:
    layouts: dict[str, Layout] = {}

    def layout_of(name: str) -> Layout:
        if name not in layouts:
            with recording.store.read() as tx:
                layouts[name] = tx.layout(name)
        return layouts[name]

    return gather_derived(sketches(recording), layout_of)


def test_a_file_that_asks_later_is_followed_for_versions_of_before(
    recording: RecorderHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(recording, WITH_TIME, monkeypatch)
    recorder = recording.start()
    recording.write([seen("a", START + 1.0, 600.0)])
    recorder.step()
    assert ages(recording) == {}
    apply(recording, ASKED, monkeypatch)
    recording.write(
        [
            seen("b", START + 2.0, 600.0),
            seen("c", START + 3.0, 2 * H + 1.0),
            seen("d", START + 4.0, None),
            seen("e", START + 5.0, 3 * H, tenant="UA", rows=4),
            seen("f", START + 6.0, -900.0, tenant="UA", routed="1", answered="", flags=["failed"]),
        ]
    )
    recorder.step()
    found = ages(recording)["seen#age"]
    assert {t: (h.known, h.older_than(2 * H), h.future, h.unknown) for t, h in found.items()} == {
        "AA": (2, 1, 0, 1),
        "UA": (5, 4, 1, 0),
    }
    assert sum(sketch.total("rows") for _, sketch in sketches(recording)) == 9
    # What a version's own axes count is the same with it and without.
    with recording.store.read() as tx:
        own = tx.layout(tx.version_layouts(MODEL)["1"])
        parts = [
            tx.layout(one.layout_id).project(one.features, own) for _, one in sketches(recording)
        ]
    assert own.part(np.sum(parts, axis=0), "temp").sum() == 9
    apply(recording, WITH_TIME, monkeypatch)
    recording.write([seen("g", START + 7.0, 600.0)])
    recorder.step()
    assert {t: h.known for t, h in ages(recording)["seen#age"].items()} == {"AA": 2, "UA": 5}


def test_rows_of_one_request_have_ages_of_their_own(
    recording: RecorderHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(recording, ASKED, monkeypatch)
    at = START + 1.0
    route = RouteTaken("1", "1", "champion", [])
    columns = [[1.0, 2.0], ["dl", "b6"], [60.0, 61.0], [at - 60.0, at - 5 * H]]
    event = Predicted(
        "x",
        at,
        MODEL,
        "AA",
        Events.contract,
        "",
        900,
        2,
        ["u", "v"],
        [route],
        columns,
        [[0.3, 0.4]],
    )
    recording.write([event])
    recording.start().step()
    found = ages(recording)["seen#age"]["AA"]
    assert (found.known, found.older_than(2 * H)) == (2, 1)


def test_an_event_of_a_contract_without_the_time_says_nothing_of_it(
    recording: RecorderHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Events.contract
    apply(recording, ASKED, monkeypatch)
    monkeypatch.setattr(Events, "contract", before)
    recording.write([predicted("a", START + 1.0)])
    recording.start().step()
    found = ages(recording)["seen#age"]["AA"]
    assert (found.known, found.unknown) == (0, 1)


def test_fingerprints_of_a_view_are_counted_where_the_file_asks(
    recording: RecorderHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(recording, ASKED.replace("  fresh:", "  repeats: [weather]\n  fresh:"), monkeypatch)
    at = START + 1.0
    alike = [predicted(f"a{i}", at + i, values=[float(i), "dl", 60.0, at]) for i in range(5)]
    other = predicted("b", at, tenant="UA", values=[1.0, "dl", 61.0, at])
    empty = predicted("c", at, values=[1.0, "dl", None, None])
    recording.write([*alike, other, empty])
    recording.start().step()
    found = counted_beside(recording).fingerprints["weather#fingerprint"]
    assert sorted(found[found > 0].tolist()) == [1, 1, 5]
    assert found[0] == 1


def test_the_time_of_observation_is_no_feature_that_may_drift() -> None:
    """Whatever is served is later than training: it would be a change from the first window on."""
    file = read_model_file(ASKED)
    columns: dict[str, Sequence[Any]] = {"temp": [1.0, 2.0], "seen": [START - 1.0, START - 2.0]}
    without = fit_layout(file.contract, columns, (), None, file.clocks)
    assert without.names == ("temp",)
    before = fit_layout(file.contract, columns, (), None)
    assert before.names == ("temp", "seen")
    assert fit_layout(file.contract, columns, (), before, file.clocks).names == ("temp",)
