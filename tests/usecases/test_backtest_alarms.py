"""The past through today's policy: as it was told, and nothing written."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner
from usecases.harness import MODEL, START, WINDOW_S, Harness
from usecases.timeline import GARBAGE, NULLS, QUIET, play

from windvane.apps.cli.main import app
from windvane.usecases.backtest_alarms import NothingToReplay, backtest_alarms, backtest_json

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")


def test_a_fault_is_replayed_beside_the_incident_that_was_told(harness: Harness) -> None:
    play(harness, [QUIET] * 12 + [NULLS] * 10 + [QUIET] * 8)
    told = harness.incidents()
    before = harness.carried("sudden_shift"), harness.judged_until, harness.decisions()
    seen: list[tuple[int, int]] = []
    found = backtest_alarms(harness.store, MODEL, on_step=lambda i, of: seen.append((i, of)))
    assert (harness.carried("sudden_shift"), harness.judged_until, harness.decisions()) == before
    assert found.windows == 30
    assert seen[-1] == (30, 30)
    feed = next(one for one in found.alarms if one.alarm.kind == "feed")
    assert feed.incident in {i.id for i in told}
    assert feed.alarm.suspects[0][0] == "temp"
    assert START + 12 * WINDOW_S < feed.alarm.opened <= START + 22 * WINDOW_S
    assert found.missed == ()
    assert backtest_json(found)["alarms"][0]["incident"] == found.alarms[0].incident


def test_tenants_refusals_are_replayed_too(harness: Harness) -> None:
    play(harness, [QUIET] * 12 + [GARBAGE] * 8)
    told = {i.cause for i in harness.incidents()}
    assert told
    found = backtest_alarms(harness.store, MODEL)
    assert {one.alarm.cause for one in found.alarms if one.incident} == told


def test_quiet_windows_alarm_nobody_and_the_budget_is_said(harness: Harness) -> None:
    play(harness, [QUIET] * 30)
    found = backtest_alarms(harness.store, MODEL)
    assert found.alarms == ()
    assert found.allowed == pytest.approx(30 * WINDOW_S / 86_400.0)
    assert found.alarm_at > 1.0


def test_a_later_start_replays_less(harness: Harness) -> None:
    play(harness, [QUIET] * 20)
    assert backtest_alarms(harness.store, MODEL, START + 15 * WINDOW_S).windows == 5


def test_nothing_recorded_is_said(harness: Harness) -> None:
    with pytest.raises(NothingToReplay, match="no window of model delay is recorded"):
        backtest_alarms(harness.store, MODEL)


def test_the_command_prints_it_and_begins_nothing(harness: Harness) -> None:
    play(harness, [QUIET] * 12 + [NULLS] * 10 + [QUIET] * 4)
    (harness.folder / "windvane.yaml").touch(0o600)
    harness.folder.chmod(0o700)
    (told,) = harness.incidents()
    where = ["--home", str(harness.folder)]
    done = CliRunner().invoke(app, ["backtest", MODEL, "--alarms", *where], env={"COLUMNS": "300"})
    assert done.exit_code == 0, done.output
    assert "26 windows of 60 s" in done.stdout
    assert "budget 1 per day: 0.018 false alarms allowed" in done.stdout
    assert told.id in done.stdout
    body = json.loads(
        CliRunner().invoke(app, ["backtest", MODEL, "--alarms", "--json", *where]).stdout
    )
    assert [one["incident"] for one in body["alarms"]] == [told.id]
    assert body["not_replayed"] == []
    wrong = CliRunner().invoke(app, ["backtest", MODEL, *where])
    assert (wrong.exit_code, "--alarms" in wrong.stderr) == (2, True)
    later = CliRunner().invoke(app, ["backtest", MODEL, "--alarms", "--since", "1d", *where])
    assert isinstance(later.exception, NothingToReplay)
