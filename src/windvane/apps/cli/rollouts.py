"""``rollout``: how one stands, and its course by hand."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from windvane.apps.cli import wiring
from windvane.apps.cli.acting import act
from windvane.apps.cli.options import AsJson, Home, ModelName, NoWait, Reason, cli_actor
from windvane.apps.cli.output import out, print_json
from windvane.core.verdict import Verdict, span_in_words
from windvane.ports.rollouts import RolloutRecord
from windvane.usecases.actions import About, Asked, action_named
from windvane.usecases.monitors.base import moment
from windvane.usecases.read_rollout import RolloutStatus, read_rollout

rollout_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Rollouts: how one stands, and pause, resume, skip or a share by hand.",
)
_EVERY_S = 2.0
_SHOWN = 20


@rollout_app.command("status")
def status(
    model: ModelName,
    watch: Annotated[
        bool, typer.Option("--watch", help="Again every two seconds, until the rollout is over.")
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Stages, what each guard says, and what the rollout waits for."""
    settings = wiring.settings(home)
    store, clock = wiring.store(settings), wiring.clock(settings)
    log = wiring.event_log(settings)
    found = read_rollout(store, log, clock, model)
    if as_json:
        print_json(None if found is None else _as_json(found))
        return
    if found is None:
        with store.read() as tx:
            before = tx.rollouts(model, 1)
        said = f"the last one {_ended(before[0])}" if before else "there was none yet"
        out.print(f"no rollout of {model} is under way: {said}")
        return
    if not watch:
        out.print(_shown(found))
        return
    with Live(_shown(found), console=out, refresh_per_second=4) as live:
        while found is not None:
            live.update(_shown(found))
            time.sleep(_EVERY_S)
            found = read_rollout(store, log, clock, model)
    with store.read() as tx:
        (last,) = tx.rollouts(model, 1) or [None]
    if last is not None:
        out.print(f"it {_ended(last)}")


@rollout_app.command("list")
def list_rollouts(model: ModelName, home: Home = None, as_json: AsJson = False) -> None:
    """Rollouts of a model, newest first, and how each ended."""
    settings = wiring.settings(home)
    with wiring.store(settings).read() as tx:
        tx.model(model)
        found = tx.rollouts(model, _SHOWN)
        live = tx.deployment(model)
    if as_json:
        print_json(found)
        return
    if not found:
        out.print(f"no version of {model} was rolled out yet")
        return
    table = Table("version", "beside", "began", "stages", "ended", box=None, pad_edge=False)
    for one in found:
        stages = ", ".join(f"{stage.share:.1%}" for stage in one.stages)
        under_way = live is not None and live.rollout == one.id
        ended = "is under way" if under_way else _ended(one)
        table.add_row(one.challenger, one.champion, moment(one.started), stages, ended)
    out.print(table)


@rollout_app.command("pause")
def pause(
    model: ModelName,
    reason: Reason = "",
    no_wait: NoWait = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Keep it at its share until `resume`; what is worse still takes it back."""
    _act("pause", model, reason, home, no_wait=no_wait, as_json=as_json)


@rollout_app.command("resume")
def resume(
    model: ModelName,
    reason: Reason = "",
    no_wait: NoWait = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Let the gate move it on again."""
    _act("resume", model, reason, home, no_wait=no_wait, as_json=as_json)


@rollout_app.command("skip")
def skip(
    model: ModelName,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    no_wait: NoWait = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Go to the next stage without the evidence that the present one waits for."""
    _act("skip", model, reason, home, no_wait=no_wait, as_json=as_json)


@rollout_app.command("share")
def share(
    model: ModelName,
    of: Annotated[str, typer.Argument(metavar="OF", help="Its share of the units, such as 10%.")],
    reason: Reason = "",
    no_wait: NoWait = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Give the challenger a share by hand: a stage of its own."""
    answers = {"share": of}
    _act("share", model, reason, home, no_wait=no_wait, as_json=as_json, answers=answers)


def _act(
    name: str, model: str, reason: str, home: Path | None, *, no_wait: bool, as_json: bool,
    answers: dict[str, str] | None = None,
) -> None:  # fmt: skip
    asked = Asked(model, cli_actor(), reason, answers=answers or {})
    act(home, action_named(name, About.MODEL), asked, as_json=as_json, wait=not no_wait)


def _ended(one: RolloutRecord) -> str:
    if one.ended is None:
        return "ended"
    return f"was {one.end} {moment(one.ended)}".replace("was replaced", "ended")


def _shown(found: RolloutStatus) -> Group:
    record = found.record
    goes = "everyone" if found.next_share >= 1.0 else f"{found.next_share:.1%}"
    head = (
        f"version {record.challenger} beside version {record.champion} of {record.model}, since "
        f"{moment(record.started)}: {found.share:.1%} of the units, then {goes}"
    )
    stages = Table("stage", "share", "began", "challenger", "failed", "champion", "failed ",
                   box=None, pad_edge=False)  # fmt: skip
    for i, one in enumerate(found.stages, start=1):
        stages.add_row(
            str(i), f"{one.stage.share:.1%}", moment(one.stage.started),
            f"{one.challenger.units:,}", f"{one.challenger.failed:,}",
            f"{one.champion.units:,}", f"{one.champion.failed:,}",
        )  # fmt: skip
    guards = Table("guard", "", "says", "waits for", box=None, pad_edge=False)
    for one in found.guards:
        said = one.verdict
        guards.add_row(one.title, _word(said), said.sentence, said.missing)
    lasts = span_in_words(max(found.at - found.stages[-1].stage.started, 0.0))
    paused = f"; paused by {found.paused}" if found.paused else ""
    foot = Text(f"{found.verdict.outcome.value}: {found.verdict.sentence}")
    if found.verdict.missing:
        foot.append(f"; waits for {found.verdict.missing}")
    foot.append(f" (this stage lasts {lasts}{paused})")
    return Group(head, "", stages, "", guards, "", foot)


def _word(verdict: Verdict) -> str:
    return f"{verdict.outcome.value} {verdict.code}"


def _as_json(found: RolloutStatus) -> dict[str, Any]:
    return {
        "rollout": found.record.id, "model": found.record.model,
        "challenger": found.record.challenger, "champion": found.record.champion,
        "started": found.record.started, "at": found.at, "share": found.share,
        "next_share": found.next_share, "paused": found.paused,
        "stages": [
            {
                "share": one.stage.share, "started": one.stage.started,
                "slow_us": one.stage.slow_us, "challenger": one.challenger,
                "champion": one.champion, "first": one.first,
            }
            for one in found.stages
        ],
        "guards": found.guards,
        "verdict": found.verdict,
    }  # fmt: skip
