"""Run the demo from an empty folder to its verdict."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from windvane.apps.demo import plan, wiring
from windvane.apps.demo.flights import Flights
from windvane.apps.demo.replay import ClientCounts, FlightReplay
from windvane.apps.demo.report import BAD, Report, clock_text, make_report
from windvane.core.errors import WindvaneError
from windvane.ports.control_store import ControlStore
from windvane.ports.event_log import EventLog
from windvane.usecases.issue_key import issue_keys
from windvane.usecases.manage_users import FIRST_USER, add_first_user
from windvane.usecases.read_model_file import parse_duration, read_model_file
from windvane.usecases.read_settings import HOME_VARIABLE, Settings

MODEL_FILE = Path(__file__).parent / "model.yaml"
_STEP_WITHIN_S = 1_800.0
_DRAINED_WITHIN_S = 30.0


class DemoFailed(WindvaneError):
    """A step of the demo did not end as it should."""

    code: ClassVar[str] = "DEM-102"
    hint = "run it again with --keep and look at the logs in its home folder"


class Processes:
    """`windvane up`, as a user would start it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Processes:
        environment = {**os.environ, HOME_VARIABLE: str(self._settings.folder)}
        log = (self._settings.folder / "up.log").open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "windvane.apps.cli.main", "up"],
            env=environment, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
        log.close()
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("home"):
                return self
        words = (self._settings.folder / "up.log").read_text()
        raise DemoFailed(f"`windvane up` did not come up: {words[-800:]}")

    def wait(self) -> None:
        assert self._process is not None
        self._process.wait()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
        finally:
            if process.stdout:
                process.stdout.close()


@dataclass
class Stage:
    """What the demo says while it runs; silent for machines."""

    console: Console
    quiet: bool
    _notified: dict[str, bool] = field(default_factory=dict[str, bool])

    def say(self, text: str) -> None:
        if not self.quiet:
            self.console.print(text, highlight=False)

    def working(self, text: str) -> AbstractContextManager[object]:
        """A sign of life for as long as it takes."""
        return nullcontext() if self.quiet else self.console.status(text)

    def announce(self, store: ControlStore, model: str) -> None:
        """Tell of incidents that the system opened or closed since the last look."""
        with store.read() as tx:
            found = sorted(tx.incidents(model, 100), key=lambda i: i.opened_at)
            notes = {i.id: tx.notes(i.id) for i in found}
        for incident in found:
            for note in notes[incident.id]:
                name = f"{incident.id}/{note.at}/{note.what}"
                if name not in self._notified:
                    self._notified[name] = True
                    self.say(f"[bold]{clock_text(note.at)}[/]  {note.what}")


def run_demo(
    home: Path, console: Console, on_report: Callable[[Report], None], *, quiet: bool, keep: bool
) -> Report:
    """Train, deploy, replay, break, report. The home folder is made anew.

    ``on_report`` hears of the report while everything is still up.
    """
    stage = Stage(console, quiet)
    if home.exists():
        if not (home / "clock").exists() and any(home.iterdir()):
            raise DemoFailed(f"{home} holds something else", hint="give an empty --home")
        shutil.rmtree(home)
    settings, clock = wiring.make_home(home, plan.at(plan.REPLAY_FROM))
    store = wiring.store(settings)
    file = read_model_file(MODEL_FILE.read_text())
    stage.say("[bold]1. Train[/] on January to May 2013, hold June out")
    flights = Flights(home)
    _train(flights, settings, home, stage)
    tenants = sorted(next(s for s in file.schema if s.name == "carrier").known)
    keys = issue_keys(store, clock, tenants, "demo")
    password = add_first_user(store, clock, wiring.hasher())
    stage.say("[bold]2. Start[/] gateway, recorder, steward and console; deploy version 1")
    with Processes(settings) as processes:
        _command(settings, "deploy", file.model, "1")
        url = f"http://{settings.host}:{settings.port}"
        _wait_ready(url)
        stage.say(f"   console http://{settings.host}:{settings.console_port}")
        stage.say(f"   sign in as {FIRST_USER} with {password}")
        stage.say(
            "[bold]3. Replay[/] real requests of 16 airlines from 1 July 2013; "
            "faults are told once the system has found them"
        )
        replay = FlightReplay(
            url, file.model, keys, clock, lambda: _judged_until(store, file.model),
            parse_duration(file.watch.window),
        )  # fmt: skip
        began = time.monotonic()
        _replay(replay, flights, stage, store, settings, file.model)
        seconds = time.monotonic() - began
        log = wiring.event_log(settings)
        wait_drained(log, file.model, replay.seen)
        report = make_report(store, log, file.model, replay.seen, replay.moments, seconds)
        on_report(report)
        if keep:
            console.print(
                f"Everything is still up. Console: http://{settings.host}:{settings.console_port}"
                f"  home: {settings.folder}  (Ctrl-C stops it)"
            )
            console.print(f"Sign in as {FIRST_USER} with {password}", highlight=False)
            _hold(processes)
    flights.close()
    store.close()
    return report


def _train(flights: Flights, settings: Settings, home: Path, stage: Stage) -> None:
    good, broken = home / "flights.parquet", home / "flights-broken.parquet"
    span = (plan.TRAIN_FROM, plan.TRAIN_UNTIL)
    with stage.working("joining flights, weather and planes"):
        rows = flights.write_training(good, *span)
        flights.write_broken_training(broken, *span)
    stage.say(f"   {rows:,} flights with the weather and the plane as known half an hour before")
    _command(settings, "apply", str(MODEL_FILE))
    cut = str(plan.at(plan.HOLDOUT_FROM))
    for table, more, what in (
        (good, [], "with weather"),
        (good, ["--without", "weather"], "without weather, to stand in"),
        (broken, ["--unknown", "error"], "on a broken join, for later"),
    ):
        with stage.working(f"training a version {what}"):
            output = _command(
                settings, "train", "flight-delay", str(table), "--label", "arr_late",
                "--time", "asked_at", "--holdout-from", cut, "--json", *more,
            )  # fmt: skip
        trained: dict[str, Any] = json.loads(output)
        auc = trained["metrics"]["auc"]
        stage.say(f"   version {trained['version']} {what}: AUC {auc:.3f} on its held-out June")


def _replay(
    replay: FlightReplay,
    flights: Flights,
    stage: Stage,
    store: ControlStore,
    settings: Settings,
    model: str,
) -> None:
    found = flights.between(plan.REPLAY_FROM, plan.REPLAY_UNTIL)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} requests"),
        TimeElapsedColumn(),
        console=stage.console,
        transient=True,
        disable=stage.quiet,
    ) as progress:
        task = progress.add_task("July 2013", total=len(found))
        deployed = False

        def on_window(end: float) -> None:
            nonlocal deployed
            seen = replay.seen
            done = seen.acknowledged + seen.refused + seen.failed
            progress.update(task, completed=done, description=clock_text(end))
            stage.announce(store, model)
            if not deployed and end >= plan.BAD_DEPLOY_AT:
                _command(settings, "deploy", model, BAD)
                deployed = True

        try:
            asyncio.run(replay.run(found, on_window))
        except (OSError, ValueError) as error:  # a connection, a deadline, an odd answer
            raise DemoFailed(f"the replay stopped: {error!r}") from error


def _command(settings: Settings, *words: str) -> str:
    environment = {**os.environ, HOME_VARIABLE: str(settings.folder)}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "windvane.apps.cli.main", *words],
            env=environment, capture_output=True, text=True, timeout=_STEP_WITHIN_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        message = f"`windvane {' '.join(words[:2])}` took over {_STEP_WITHIN_S:.0f} s"
        raise DemoFailed(message, hint="is this machine busy with something else?") from error
    if done.returncode != 0:
        raise DemoFailed(f"`windvane {' '.join(words[:2])}` failed: {done.stderr[-800:]}")
    return done.stdout


def _judged_until(store: ControlStore, model: str) -> float:
    with store.read() as tx:
        held = tx.progress([model]).get(model)
    return held.until if held is not None else 0.0


def _wait_ready(url: str) -> None:
    import httpx

    _until(
        lambda: httpx.get(f"{url}/readyz", timeout=2.0).status_code == 200,
        "the gateway has no routing table",
    )


def wait_drained(log: EventLog, model: str, seen: ClientCounts) -> None:
    """Until the log has all that the client was told is kept. Raises DemoFailed."""
    for table, kept in (("predictions", seen.acknowledged), ("outcomes", seen.outcomes)):
        _until(
            lambda table=table, kept=kept: log.counts(model)[table] >= kept,
            f"the log is missing {table}",
        )


def _until(done: Callable[[], bool], failure: str) -> None:
    deadline = time.monotonic() + _DRAINED_WITHIN_S
    while not done():
        if time.monotonic() > deadline:
            raise DemoFailed(f"{failure} after {_DRAINED_WITHIN_S:.0f} s")
        time.sleep(0.05)


def _hold(processes: Processes) -> None:
    try:
        processes.wait()
    except KeyboardInterrupt:
        return
