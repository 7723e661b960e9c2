"""The forecast is of the log that a recorder wrote, and of what the models' files have kept."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from typer.testing import CliRunner
from usecases.harness import MODEL, START
from usecases.recording import RecorderHarness, outcome, predicted

from windvane.adapters.delta import DeltaEventLog
from windvane.apps.cli.main import app
from windvane.apps.console.app import make_app
from windvane.core.health import DAY_S
from windvane.ports.control_store import ModelRecord
from windvane.usecases.forecast_log import forecast_log
from windvane.usecases.issue_key import issue_keys
from windvane.usecases.read_settings import Retention

# deltalake 1.6 deprecates the argument that the adapter prunes partitions by
pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")


class SmallDisk(DeltaEventLog):
    left = 10_000

    def free_bytes(self) -> int | None:
        return self.left


def three_days(recording: RecorderHarness) -> None:
    for day in range(3):
        recording.clock.at = START + day * DAY_S + 100.0
        events = [predicted(f"r{day}-{i}", recording.clock.at) for i in range(50)]
        recording.write([*events, outcome(f"r{day}-0", recording.clock.at)])
        recording.start().step()
    recording.clock.at = START + 3 * DAY_S


def test_rates_levels_and_the_day_the_disk_is_full(recording: RecorderHarness) -> None:
    three_days(recording)
    log, now = SmallDisk(recording.log_root), recording.clock.at
    held = sum(one.bytes for one in log.sizes(0.0))
    found = forecast_log(recording.store, log, now, Retention(predictions=30.0), 14.0)
    assert found.held_bytes == held
    assert found.bytes_a_day == pytest.approx(held / 3, rel=0.05)
    assert found.measured_days == pytest.approx(3.0, abs=0.01)
    by_table = {one.table: one for one in found.tables}
    assert by_table["predictions"].rows_a_day == pytest.approx(50.0, rel=0.01)
    assert by_table["predictions"].kept_days == 30.0
    assert by_table["predictions"].level_bytes == pytest.approx(
        31 * by_table["predictions"].bytes_a_day
    )
    assert {(one.table, one.model) for one in found.models} == {
        ("predictions", MODEL), ("outcomes", MODEL),
    }  # fmt: skip
    assert found.full_in_days == int(10_000 // found.bytes_a_day) + 1
    assert found.code == "HLT-405"
    log.left = 10**9
    assert forecast_log(recording.store, log, now, Retention(), 14.0).code == ""


def test_a_file_that_cannot_be_read_does_not_stop_the_forecast(
    recording: RecorderHarness,
) -> None:
    three_days(recording)
    with recording.store.begin() as tx:
        tx.put_model(ModelRecord("bad", "model: [", START))
    kept = {
        one.table: one.kept_days
        for one in forecast_log(
            recording.store, recording.log, recording.clock.at, Retention(predictions=30.0), 14.0
        ).tables
    }
    assert kept["predictions"] == Retention().predictions


def test_a_model_holds_what_all_of_its_files_hold(recording: RecorderHarness) -> None:
    """Those from before the days that its rate is of, too."""
    for day in range(30):
        recording.write([predicted(f"r{day}-{i}", START + day * DAY_S + 10 + i) for i in range(5)])
    recording.clock.at = now = START + 29.5 * DAY_S
    recorder = recording.start()
    while recorder.step():
        pass
    found = forecast_log(recording.store, recording.log, now, Retention(), 14.0)
    (model,) = found.models
    (table,) = (one for one in found.tables if one.table == model.table)
    assert model.held_bytes == table.held_bytes == sum(o.bytes for o in recording.log.sizes(now))
    totals = forecast_log(recording.store, recording.log, now, Retention(), 14.0, by_model=False)
    assert (totals.models, totals.held_bytes) == ((), found.held_bytes)


def test_a_log_that_began_in_the_evening_is_not_measured_since_midnight(
    recording: RecorderHarness,
) -> None:
    begun = (START // DAY_S + 1) * DAY_S + 22 * 3_600.0
    recording.write([predicted(f"r{i}", begun + 72.0 * i) for i in range(100)])
    recording.clock.at = begun + 2 * 3_600.0 - 60.0
    recorder = recording.start()
    while recorder.step():
        pass
    found = forecast_log(recording.store, recording.log, recording.clock.at, Retention(), 14.0)
    assert found.tables[0].rows_a_day == pytest.approx(1_200.0, rel=0.02)


def test_the_api_says_so_to_who_may_see_it(recording: RecorderHarness) -> None:
    three_days(recording)
    log = SmallDisk(recording.log_root)
    console = make_app(recording.store, recording.clock, log=log)

    def get(role: str) -> httpx.Response:
        issued = issue_keys(recording.store, recording.clock, ["desk"], "test", grants=[role])
        headers = {"Authorization": f"Bearer {issued['desk']}"} if role else {}

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(console, raise_app_exceptions=False)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1"
            ) as client:
                return await client.get("/api/log-size", headers=headers)

        return asyncio.run(ask())

    found = get("admin")
    assert found.status_code == 200
    body = found.json()
    assert (body["code"], body["free_bytes"]) == ("HLT-405", 10_000)
    assert {one["model"] for one in body["models"]} == {MODEL}
    assert get("viewer@model:another").json()["models"] == []


def test_the_command_says_so(recording: RecorderHarness) -> None:
    three_days(recording)
    (recording.folder / "windvane.yaml").write_text("")
    words = ["log-size", "--home", str(recording.folder)]
    shown = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert shown.exit_code == 0, shown.output
    assert "predictions" in shown.output
    assert "level off at" in shown.output
    told = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert told["held_bytes"] == sum(one.bytes for one in recording.log.sizes(0.0))
    assert told["code"] == ""
