"""The recorder's benchmark: what its events are, what a replay leaves, how lag is read off."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from bench_recorder import growth_notes, measures
from recording.fleet import VERSION, encoded, encoded_of_each, make_fleet
from recording.growth import KEPT, simulate, with_days
from recording.lag import lags
from recording.replay import Replayed, fill, read_all, replay

from windvane.ports.events import EVENTS, OutcomeSeen, Predicted

# deltalake 1.6 deprecates the argument that the adapter prunes partitions by
pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")


def test_events_are_in_order_and_of_every_kind() -> None:
    fleet = make_fleet(20, 10)
    widths = [len(file.contract.features) for file in fleet.files]
    assert 10 == min(widths) < max(widths) <= 40
    found = [(ts, EVENTS.decode(body)) for ts, body in encoded(fleet, 400, 100.0)]
    assert all(before <= after for (before, _), (after, _) in pairwise(found))
    assert sum(isinstance(event, OutcomeSeen) for _, event in found) == 20
    of_first = sum(event.model == "model-0000" for _, event in found if event.model)
    assert of_first > 400 / 20 * 2, "models follow a Zipf law"
    assert all(
        event.routes[0].routed == VERSION for _, event in found if isinstance(event, Predicted)
    )


def test_a_replay_records_every_event(tmp_path: Path) -> None:
    fleet = make_fleet(3, 4)
    found = replay(f"sqlite:///{tmp_path / 'control.db'}", tmp_path, fleet, encoded(fleet, 300, 50))
    assert found.events == 300
    assert found.log_files > 0
    assert found.spool_bytes > 0


def test_each_model_and_tenant_is_a_key_in_each_window(tmp_path: Path) -> None:
    fleet = make_fleet(3, 4)
    url = f"sqlite:///{tmp_path / 'control.db'}"
    found = replay(url, tmp_path, fleet, encoded_of_each(fleet, 2))
    assert found.events == 2 * 2 * 12
    assert found.keys >= 2 * 12


def test_the_floor_reads_everything(tmp_path: Path) -> None:
    fill(tmp_path, encoded(make_fleet(2, 2), 50, 10.0))
    events, cpu_s = read_all(tmp_path)
    assert events == 50
    assert cpu_s > 0


def test_lag_is_the_age_of_the_oldest_event_that_is_not_recorded() -> None:
    written = [(10.0, 5, 100), (11.0, 10, 200), (12.0, 15, 300), (20.0, 20, 400)]
    looks = [(9.0, 0), (12.5, 100), (12.6, 300), (12.7, 0), (30.0, 0)]
    assert lags(looks, written, 0.0) == pytest.approx([1.5, 0.0, 2.7])
    assert lags(looks, written, 2.55) == pytest.approx([0.0, 2.7])


def test_a_slow_recorder_is_not_ok() -> None:
    slow = Replayed(100, wall_s=1.0, cpu_s=1.0, keys=10, log_files=1, log_bytes=1, spool_bytes=1)
    assert [m.ok for m in measures("sqlite", slow, slow, 100_000.0)] == [False] * 3


def test_a_day_of_the_driven_clock_holds_every_event_and_each_key(tmp_path: Path) -> None:
    (day,) = simulate(tmp_path, make_fleet(1, 1), 1, lambda _: None)
    assert day.log_rows == 2 * 24 * 60
    assert day.sketches == 24 * 60
    assert day.log_bytes > 0
    assert day.database_bytes > 0
    note = growth_notes([day])[-1]
    assert note["log_bytes"] == pytest.approx(day.log_bytes * note["log_scale"], rel=0.01)
    assert with_days(day.forecast, 2.0, KEPT) == pytest.approx(2 * day.forecast.level_bytes)
