"""What the console reads: within its bounds, within its deadline, and nothing stale for long."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import anyio
import pytest
from journeys.console_seed import NOW, WINDOW_S, Seeded, at_window, seed

from windvane.apps.console import reading
from windvane.apps.console.answering import ReadService
from windvane.apps.console.answers import answer_rows
from windvane.apps.console.features import feature_views
from windvane.apps.console.memory import Memory
from windvane.apps.console.replaying import replayed
from windvane.apps.console.traffic import Grid, TrafficSeries, grid, series
from windvane.apps.console.views import notes_on
from windvane.core.sketch import NO_AXES, TRAFFIC, Sketch
from windvane.ports.control_store import StoreUnavailable, Tx, UnknownName, WindowKey

MODEL = "flight-delay"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seeded]:
    given = seed(tmp_path_factory.mktemp("reading"), windows=60, tenants=("a", "b", "c"))
    yield given
    given.store.close()


class CountedTx:
    """Passes everything on; counts the sketches that were read."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self.read = 0

    def sketches_since(self, since: Mapping[str, float]) -> Any:
        found = list(self._tx.sketches_since(since))
        self.read += len(found)
        return found


def of_one(memory: Memory, tx: Tx, given: Grid, wall: float) -> TrafficSeries:
    return memory.series(tx, {MODEL: given}, wall)[MODEL]


def figures(line: TrafficSeries) -> list[tuple[int, float | None]]:
    return [(t.requests, t.latency_ms(0.99)) for t in (*line.windows, line.open, line.all)]


def test_settled_windows_are_read_once_a_minute(told: Seeded) -> None:
    memory, given = Memory(), grid(NOW, WINDOW_S, 24, NOW)
    late = Sketch.empty(NO_AXES.id, 0)
    late.traffic[TRAFFIC.index("requests")] = 1_000
    with told.store.read() as tx:
        counted: Any = CountedTx(tx)
        direct = series(tx.sketches(MODEL, given.starts[0], float("inf")), given)
        assert figures(of_one(memory, counted, given, 100.0)) == figures(direct)
        first, counted.read = counted.read, 0
        assert figures(of_one(memory, counted, given, 110.0)) == figures(direct)
        assert 0 < counted.read < first / 4
        later = grid(NOW + WINDOW_S, WINDOW_S, 24, NOW + WINDOW_S)
        moved = series(tx.sketches(MODEL, later.starts[0], float("inf")), later)
        assert figures(of_one(memory, counted, later, 120.0)) == figures(moved)
    with told.store.begin() as tx:
        key = WindowKey(MODEL, at_window(12), "2", "champion", "a", "late")
        tx.put_layout(NO_AXES)
        tx.add_sketches({key: late})
    with told.store.read() as tx:
        assert of_one(memory, tx, given, 121.0).all.requests == direct.all.requests
        again = of_one(memory, tx, given, 161.0).all.requests
        assert again == direct.all.requests + 1_000


def test_a_page_reads_no_more_than_it_may(told: Seeded, monkeypatch: pytest.MonkeyPatch) -> None:
    with told.store.read() as tx:
        page = reading.load_model_page(tx, MODEL, NOW, 60, Memory())
        assert len(page.glance.grid.starts) == 60
        assert notes_on(page) == []
        monkeypatch.setattr(reading, "_ROWS", 50)
        cut = reading.load_model_page(tx, MODEL, NOW, 60, Memory())
    assert len(cut.glance.grid.starts) == 24
    assert notes_on(cut) == [
        "only the last 3 d are shown: the range holds more than one page may read"
    ]
    assert cut.glance.line.windows[-1].requests == page.glance.line.windows[-1].requests


def test_a_baseline_of_another_release_costs_only_the_pictures(told: Seeded) -> None:
    with told.store.read() as tx:
        page = reading.load_model_page(tx, MODEL, NOW, 30, Memory())
        assert page.baseline is not None
    assert reading.baseline_of(b"packed otherwise") is None
    bare = replace(page, baseline=None)
    assert [f.picture for f in feature_views(bare)] == [None] * 8
    assert notes_on(bare)[0].startswith("the baseline of version 2 was made by another release")


def test_unknown_names_have_a_closest_page(told: Seeded) -> None:
    with told.store.read() as tx:
        for load, path in (
            (
                lambda: reading.load_model_page(tx, "flight-dely", NOW, 30, Memory()),
                "/models/" + MODEL,
            ),
            (lambda: reading.load_incidents(tx, "flight-dely"), "/models/" + MODEL),
            (
                lambda: reading.load_incident(tx, told.feed_incident[:-1], NOW, values=True),
                f"/incidents/{told.feed_incident}",
            ),
            (
                lambda: reading.load_decision(tx, told.canary_decision[:-1]),
                f"/decisions/{told.canary_decision}",
            ),
        ):
            with pytest.raises(UnknownName) as error:
                load()
            assert getattr(error.value, "path", "") == path
            assert error.value.advice.startswith("did you mean")


def test_a_decision_that_cannot_be_read_is_said_so(told: Seeded) -> None:
    with told.store.read() as tx:
        found = {d.judge: d for d in tx.decisions(MODEL, 60)}
    done = replayed(found["drift"])
    assert done is not None
    assert done.same
    assert replayed(found[""]) is None
    lost = replayed(replace(found["drift"], facts={"rows": "many"}))
    assert lost is not None
    assert lost.again is None
    assert "ValidationError" in lost.problem


class _Store:
    """Opens with ``trouble``, else hands out nothing to read from."""

    def __init__(self, trouble: Exception | None = None) -> None:
        self.trouble = trouble
        self.opened = 0

    @contextmanager
    def read(self) -> Iterator[Any]:
        self.opened += 1
        if self.trouble:
            raise self.trouble
        yield None


def test_a_late_read_is_unavailable_and_forgotten() -> None:
    store: Any = _Store()
    release = threading.Event()

    async def late() -> None:
        await ReadService(store, deadline_s=0.05).ask(lambda tx: release.wait(30.0))

    with pytest.raises(StoreUnavailable, match=r"did not answer within 0\.05 s") as found:
        anyio.run(late)
    release.set()
    assert "load the page again" in found.value.advice


def test_a_store_that_cannot_be_opened_is_unavailable() -> None:
    store: Any = _Store(OSError("no such disk"))

    async def ask() -> None:
        await ReadService(store).ask(lambda tx: None)

    with pytest.raises(StoreUnavailable, match="no such disk"):
        anyio.run(ask)


def test_viewers_of_one_moment_share_one_read() -> None:
    store: Any = _Store()
    answers: list[int] = []

    async def all_at_once() -> None:
        reads = ReadService(store, fresh_s=60.0)

        async def one() -> None:
            answers.append(await reads.ask_shared("overview", lambda tx: store.opened))

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(one)
        await reads.ask_shared("another", lambda tx: None)

    anyio.run(all_at_once)
    assert answers == [1] * 20
    assert store.opened == 2


def test_answers_are_told_by_version_and_arm(told: Seeded) -> None:
    """Of every version on its own bins, also of those that are not the champion."""
    with told.store.read() as tx:
        page = reading.load_model_page(tx, MODEL, NOW, 60, Memory())
    rows = {(r.answers.version, r.answers.arm): r for r in answer_rows(page)}
    assert set(rows) == {("2", "champion"), ("1", "fallback"), ("3", "challenger")}
    for row in rows.values():
        assert row.figures.mean == pytest.approx(0.25, abs=0.03)
        assert row.figures.confidence == pytest.approx(0.76, abs=0.03)
        assert row.answers.counts.sum() > 0
    assert rows["3", "challenger"].answers.fallback_share > 0.05
