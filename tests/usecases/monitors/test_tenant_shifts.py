"""A fault of one tenant is that tenant's; a change of who sends is nobody's."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from usecases.harness import FILE, MODEL, START, WINDOW_S, Harness, Trained, columns
from usecases.timeline import only, verdicts

from windvane.adapters.sql import SqlControlStore
from windvane.adapters.sql.watching import WatchingRows
from windvane.core.drift import build_baseline
from windvane.core.sketch import TRAFFIC, Sketch
from windvane.ports.control_store import Checkpoint, WindowKey
from windvane.usecases.closed_window import tenant_subject
from windvane.usecases.monitors.cells import EVERYONE
from windvane.usecases.monitors.sudden_shift import SuddenShift

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")

SIZES = {"big": 100, "middle": 60, "small": 30, "tiny": 8}
WARM = {"big": 0.0, "middle": 20.0, "small": -10.0, "tiny": 5.0}
"""What each tenant's temperatures lie above the usual ones: they differ, as tenants do."""
HEALTHY = 190
Shapes = Mapping[str, Mapping[str, Any]]


def swapped(given: dict[str, Any]) -> dict[str, Any]:
    return {**given, "temp": given["distance"], "distance": given["temp"]}


class Installation:
    """Tenants that differ, minute after minute."""

    def __init__(self, harness: Harness) -> None:
        self.harness, self.at = harness, 0

    def play(
        self,
        windows: int,
        shapes: Shapes | None = None,
        *,
        sizes: Mapping[str, int] = SIZES,
        spoil: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] | None = None,
    ) -> None:
        for _ in range(windows):
            start = START + WINDOW_S * self.at
            sketches: dict[WindowKey, Sketch] = {}
            for i, (tenant, rows) in enumerate(sizes.items()):
                shape = {"warmer": WARM.get(tenant, 40.0), **(shapes or {}).get(tenant, {})}
                given = columns(rows, 10_000 * (i + 1) + self.at, **shape)
                if spoil and tenant in spoil:
                    given = spoil[tenant](given)
                counts = self.harness.layout.count(given)[0]
                told = {"rows": rows, "requests": rows}
                traffic = np.array([told.get(name, 0) for name in TRAFFIC], np.int64)
                empty = Sketch.empty(self.harness.layout.id, self.harness.layout.size)
                key = WindowKey(MODEL, start, "1", "champion", tenant, "r1")
                sketches[key] = Sketch(self.harness.layout.id, counts, traffic, empty.latency)
            with self.harness.store.begin() as tx:
                tx.add_sketches(sketches)
                tx.set_checkpoint(Checkpoint("m/w0", 0, start + WINDOW_S))
            self.harness.clock.at = max(self.harness.clock.at, start + WINDOW_S)
            assert self.harness.judge()
            self.at += 1

    def open_causes(self) -> list[str]:
        return sorted(i.cause for i in self.harness.incidents() if i.closed_at is None)


@pytest.fixture(scope="module")
def healthy_home(
    empty_harness_of: Callable[[], AbstractContextManager[Harness]], trained: Trained
) -> Iterator[Harness]:
    """Three hours of tenants whose rows the version was trained on."""
    with empty_harness_of() as harness:
        windows = {}
        for i in range(-400, 0):
            parts = [
                trained.layout.count(columns(rows, 50_000 * (k + 1) + i + 400, warmer=WARM[t]))[0]
                for k, (t, rows) in enumerate(SIZES.items())
            ]
            windows[START + WINDOW_S * i] = np.sum(parts, axis=0)
        baseline = build_baseline(trained.layout, windows, WINDOW_S, 1_800.0, 20)
        harness.trained = Trained(trained.layout, baseline)
        harness.add_keys()
        harness.apply()
        harness.add_version("1")
        harness.add_version("2", ["plan"])
        harness.put("1")
        Installation(harness).play(HEALTHY)
        harness.store.close()
        yield harness


@pytest.fixture
def healthy(healthy_home: Harness, tmp_path: Path) -> Iterator[Installation]:
    """Traffic of which nothing is to be said."""
    shutil.copy(healthy_home.folder / "control.db", tmp_path / "control.db")
    store = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
    harness = Harness(tmp_path, store, healthy_home.trained)
    harness.clock.at = START + WINDOW_S * HEALTHY
    found = Installation(harness)
    found.at = HEALTHY
    yield found
    store.close()


def test_tenants_that_differ_are_no_alarm(healthy: Installation) -> None:
    assert healthy.open_causes() == []
    healthy.play(20)
    assert healthy.harness.incidents() == []


def test_what_is_broken_for_one_tenant_is_no_training_drift_of_all(healthy: Installation) -> None:
    """Whatever the file has done about a tenant: what counts is what was found."""
    healthy.harness.apply(f"{FILE}\n".replace("watch:\n", "watch:\n  respond: {tenant: notify}\n"))
    healthy.play(45, {"middle": {"nulls": 1.0}})
    assert dict(healthy.harness.live.tenant_broken) == {}
    assert healthy.open_causes() == ["tenant_feed:middle"]
    last = verdicts(healthy.harness, "training_drift")[-2:]
    assert {v.code for v in last} == {"DRI-204"}
    assert "weather" in last[0].sentence


@pytest.mark.parametrize("tenant", ["middle", "small", "tiny"])
def test_nulls_of_one_tenant_are_that_tenants(healthy: Installation, tenant: str) -> None:
    healthy.play(3, {tenant: {"nulls": 1.0}})
    assert healthy.open_causes() == [f"tenant_feed:{tenant}"]
    incident = only(healthy.harness, f"tenant_feed:{tenant}")
    assert incident.title.startswith(f"what tenant {tenant} sends of weather changed: temp has no")
    assert incident.since == START + WINDOW_S * HEALTHY
    assert [row["tenant"] for row in incident.evidence["tenants"]] == [tenant]
    live = healthy.harness.live
    assert live.standing_in is None, "nobody else is served worse for it"
    assert live.stand_ins == {tenant: "2"}
    with healthy.harness.store.read() as tx:
        table = tx.routing()
    assert table is not None
    assert table.models[MODEL].stand_ins == ((tenant, "2"),)
    assert {entry.version for entry in table.models[MODEL].versions} == {"1", "2"}
    done = healthy.harness.timeline(incident)
    assert any(f"stands in for tenant {tenant}" in line for line in done)
    healthy.play(3, {tenant: {"nulls": 1.0}})
    assert len(healthy.harness.incidents()) == 1
    healthy.play(12)
    assert healthy.open_causes() == []
    assert len(healthy.harness.incidents()) == 1
    live = healthy.harness.live
    assert (dict(live.stand_ins), dict(live.tenant_broken)) == ({}, {})


def test_everyones_alarm_that_ends_last_is_not_told_as_everyones(healthy: Installation) -> None:
    """A tenant of a third of the rows, whose own alarm is over before that of all rows is."""
    sizes = {"big": 40, "middle": 30, "small": 20, "tiny": 8}
    healthy.play(6, {"middle": {"nulls": 1.0}}, sizes=sizes)
    assert healthy.open_causes() == ["tenant_feed:middle"]
    for i in range(12):  # thin windows among others
        healthy.play(
            1, {"middle": {"nulls": 1.0}}, sizes={t: n // (1 + i % 3) for t, n in sizes.items()}
        )
    assert healthy.open_causes() == ["tenant_feed:middle"]
    for i in range(16):
        healthy.play(1, sizes={t: n // (1 + i % 3) for t, n in sizes.items()})
    assert healthy.open_causes() == []
    assert {i.cause for i in healthy.harness.incidents()} == {"tenant_feed:middle"}


def test_evidence_of_a_total_fault_is_of_its_rows_only(healthy: Installation) -> None:
    healthy.play(1)  # rows of a thin tenant that wait
    healthy.play(3, {"tiny": {"nulls": 1.0}})
    incident = only(healthy.harness, "tenant_feed:tiny")
    (change, *_) = incident.evidence["changes"]
    assert change["nulls"][1] == 1.0


def test_two_features_that_one_tenant_swaps_are_found(healthy: Installation) -> None:
    healthy.play(6, spoil={"small": swapped})
    assert healthy.open_causes() == ["tenant_feed:small"]
    incident = only(healthy.harness, "tenant_feed:small")
    assert {s["feature"] for s in incident.evidence["suspects"]} >= {"temp"}


def test_another_unit_of_the_second_largest_tenant_is_its_own(healthy: Installation) -> None:
    healthy.play(8, {"middle": {"celsius": True}})
    assert healthy.open_causes() == ["tenant_feed:middle"]


def test_what_is_everyones_is_one_incident(healthy: Installation) -> None:
    healthy.play(4, {tenant: {"nulls": 0.9} for tenant in SIZES})
    assert healthy.open_causes() == ["feed:weather"]
    assert healthy.harness.live.standing_in == "2"
    healthy.play(12)
    assert healthy.open_causes() == []
    assert [i.cause for i in healthy.harness.incidents()] == ["feed:weather"]


@pytest.mark.parametrize("shape", [{"warmer": 20.0}, {"nulls": 0.3}, {"celsius": True}])
def test_what_was_everyones_is_no_tenants_once_it_is_over(
    healthy: Installation, shape: Mapping[str, Any]
) -> None:
    """Tenants' own alarms are of fewer rows, and close later."""
    more = shape.get("warmer", 0.0)
    spoilt = {t: {**shape, "warmer": WARM[t] + more} for t in SIZES}
    healthy.play(4)
    healthy.play(15, spoilt)
    healthy.play(15)
    assert [i.cause for i in healthy.harness.incidents()] == ["feed:weather"]
    assert healthy.open_causes() == []


def test_what_heals_for_all_but_one_tenant_is_that_tenants_from_then_on(
    healthy: Installation,
) -> None:
    nulls = {"nulls": 0.9}
    healthy.play(4, dict.fromkeys(SIZES, nulls))
    healthy.play(3, {"middle": nulls})
    assert healthy.open_causes() == ["tenant_feed:middle"]
    assert healthy.harness.live.standing_in is None
    healthy.play(15)
    assert healthy.open_causes() == []


def test_half_of_a_fault_that_goes_on_for_the_rest_is_still_everyones(
    healthy: Installation,
) -> None:
    healthy.play(4, {tenant: {"nulls": 0.9} for tenant in SIZES})
    less = {tenant: {"nulls": 0.6} for tenant in SIZES}
    healthy.play(6, {**less, "middle": {"nulls": 0.9}})
    assert healthy.open_causes() == ["feed:weather"]


def test_what_tenants_swap_and_nobody_sees_in_all_rows_is_told(healthy: Installation) -> None:
    """Of as many rows each: together they are as ever."""
    alike = {"big": 60, "middle": 60}
    healthy.play(40, sizes=alike)
    assert [c for c in healthy.open_causes() if "feed" in c] == []
    swap = {"big": {"warmer": WARM["middle"]}, "middle": {"warmer": WARM["big"]}}
    healthy.play(12, swap, sizes=alike)
    assert [c for c in healthy.open_causes() if "feed" in c] == [
        "tenant_feed:big", "tenant_feed:middle",
    ]  # fmt: skip


def test_a_tenant_that_sends_four_times_as_much_changes_nothing(healthy: Installation) -> None:
    healthy.play(30, sizes={**SIZES, "middle": 240})
    assert [i for i in healthy.harness.incidents() if i.kind != "traffic"] == []


def test_a_new_tenant_is_no_broken_source(healthy: Installation) -> None:
    """Forty degrees warmer than anybody, and half of the traffic."""
    healthy.play(40, sizes={**SIZES, "newcomer": 200})
    assert [i for i in healthy.harness.incidents() if "feed" in i.kind] == []


def test_a_tenant_of_few_rows_changes_little_in_the_store(healthy: Installation) -> None:
    """What its cell learned is neither read nor written until there are rows enough to look at."""
    tiny = tenant_subject("tiny")
    kept = learned_by(healthy.harness)
    assert {EVERYONE, tiny} <= kept.keys()
    read: list[str] = []
    looks = 0
    for _ in range(12):
        before = kept
        with reads_noted(into=read):
            healthy.play(1)
        kept = learned_by(healthy.harness)
        looked = kept[tiny] != before[tiny]
        assert (tiny in read) == looked
        assert EVERYONE in read
        looks += looked
        read.clear()
    assert 0 < looks < 6, "eight rows a window, and twenty for a look"


def learned_by(harness: Harness) -> Mapping[str, bytes]:
    subjects = [EVERYONE, *(tenant_subject(t) for t in SIZES)]
    with harness.store.read() as tx:
        return tx.learned_states(MODEL, SuddenShift.name, subjects)


@contextmanager
def reads_noted(*, into: list[str]) -> Iterator[None]:
    """What was learned of whom was asked for."""
    read = WatchingRows.learned_states

    def noted(
        rows: WatchingRows, model: str, monitor: str, subjects: Sequence[str]
    ) -> Mapping[str, bytes]:
        into.extend(subjects)
        return read(rows, model, monitor, subjects)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WatchingRows, "learned_states", noted)
        yield
