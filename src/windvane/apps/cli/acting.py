"""``abort``, ``undeploy``, ``off``, ``on``, ``delete``, ``acknowledge``, ``silence``, ``close``,
``grade``: what people do to models and incidents. The console and the API do the same by the same
actions."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from windvane.apps.cli import wiring
from windvane.apps.cli.changes import publish, say_home
from windvane.apps.cli.options import AsJson, Home, ModelName, NoWait, Reason, cli_actor, duration
from windvane.apps.cli.output import err, out, print_json
from windvane.ports.control_store import ControlStore, StoreUnavailable
from windvane.usecases.actions import About, Asked, ModelAction, action_named, perform
from windvane.usecases.publish_routing import PUBLISH

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether it is meant.")]
RunbookChange = Annotated[
    str, typer.Option("--runbook-change", help="What its runbook lacks; `none` for nothing.")
]
GradeGiven = Annotated[
    str, typer.Option("--grade", help="What it was: true, harmless or false. Asked, if not given.")
]
_LONGEST_TEXT = 4_000
IncidentName = Annotated[str, typer.Argument(help="The incident's id, as `incidents` lists it.")]


def act(
    home: Path | None,
    action: ModelAction,
    asked: Asked,
    *,
    as_json: bool,
    yes: bool = True,
    wait: bool = True,
    offline: Callable[..., None] | None = None,
) -> None:
    """Do it, and say what was done, to which home, and which gateways took it, for which it waits
    if ``wait``. Without ``yes`` it says what will happen and asks first. ``offline`` does it
    where the control database does not answer."""
    settings = wiring.settings(home)
    try:
        store = wiring.store(settings)
        if action.about is About.INCIDENT:
            with store.read() as tx:
                asked = replace(asked, model=tx.incident(asked.incident).model)
        if not yes:
            asked = replace(asked, confirmed=_confirm(store, action, asked))
        done = perform(store, wiring.clock(settings), action, asked)
    except StoreUnavailable as error:
        if offline is None:
            raise
        offline(home, asked, error, as_json=as_json)
        return
    message = done.verdict.sentence
    if as_json:
        print_json({"action": action.name, "model": asked.model, "version": asked.version,
                    "incident": asked.incident, "message": message,
                    "decision": done.id})  # fmt: skip
    else:
        out.print(message)
    if any(effect.kind == PUBLISH for effect in done.effects):
        publish(settings, store, wait=wait)
    else:
        say_home(settings)


def act_offline(home: Path | None, asked: Asked, error: StoreUnavailable, *, as_json: bool) -> None:
    """Roll back in the routing table alone. Raises ``error`` where there is no table here."""
    from windvane.usecases.roll_back_offline import roll_back_offline

    settings = wiring.settings(home)
    feed = wiring.routing_feed(settings)
    if feed.last_seq() is None:
        raise error
    message = roll_back_offline(
        feed, wiring.pending_rollbacks(settings), wiring.artifacts(), wiring.clock(settings), asked
    )
    if as_json:
        print_json({"action": "roll-back", "model": asked.model, "version": "", "incident": "",
                    "message": message, "decision": "", "pending": True})  # fmt: skip
    else:
        out.print(message)
    err.print(f"  database  {error}")
    err.print("  record    it goes on record when the control database is back and a steward runs")
    err.print("  gateways  those of this home follow within two seconds")
    say_home(settings)


def _confirm(store: ControlStore, action: ModelAction, asked: Asked) -> str:
    """What was confirmed, for `Asked`."""
    with store.read() as tx:
        follows, seen = action.foresee(tx, asked), action.prospect(tx, asked)
    err.print(follows)
    if not sys.stdin.isatty():
        raise typer.BadParameter(
            "nobody is there to be asked; with --yes it is done without a question"
        )
    if not typer.confirm("Go on?", err=True):
        raise typer.Exit(1)
    return seen


def abort(
    model: ModelName,
    reason: Reason = "",
    no_wait: NoWait = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """End the rollout that is under way; its version may be deployed again.

    `rollback` does the same and remembers that the version was bad.
    """
    asked = Asked(model, cli_actor(), reason)
    act(home, action_named("abort", About.MODEL), asked, as_json=as_json, wait=not no_wait)


def undeploy(
    model: ModelName,
    yes: Yes = False,
    reason: Reason = "",
    no_wait: NoWait = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Take a model out of service; its versions stay registered.

    Its clients are told that there is no such model, and it is not watched any more.
    """
    asked = Asked(model, cli_actor(), reason)
    act(
        home,
        action_named("undeploy", About.MODEL),
        asked,
        as_json=as_json,
        yes=yes,
        wait=not no_wait,
    )


def off(
    model: ModelName,
    yes: Yes = False,
    reason: Reason = "",
    no_wait: NoWait = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Turn a model off: it answers nobody, until `windvane on`.

    No version answers, no fallback and no constant; its clients get 503 and `GAT-125`. What is
    deployed stays as it is.
    """
    asked = Asked(model, cli_actor(), reason)
    act(home, action_named("off", About.MODEL), asked, as_json=as_json, yes=yes, wait=not no_wait)


def on(
    model: ModelName,
    reason: Reason = "",
    no_wait: NoWait = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Turn a model on again: what is deployed answers."""
    asked = Asked(model, cli_actor(), reason)
    act(home, action_named("on", About.MODEL), asked, as_json=as_json, wait=not no_wait)


def delete(
    model: ModelName,
    version: Annotated[str, typer.Argument(help="One version; the whole model by default.")] = "",
    yes: Yes = False,
    reason: Reason = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Delete a version with its files, or a model with all of its versions and its past.

    What serves, or is what a rollback returns to, is not deleted. Decisions stay on record, and
    what was answered stays in the log for as long as the log keeps it.
    """
    action = (
        action_named("delete-version", About.VERSION)
        if version
        else action_named("delete", About.MODEL)
    )
    asked = Asked(model, cli_actor(), reason, version)
    act(home, action, asked, as_json=as_json, yes=yes)


def acknowledge(
    incident: IncidentName, reason: Reason = "", home: Home = None, as_json: AsJson = False
) -> None:
    """Say that you are on an incident: whoever looks at it sees that."""
    asked = Asked("", cli_actor(), reason, incident=incident)
    act(home, action_named("acknowledge", About.INCIDENT), asked, as_json=as_json)


def update(
    incident: IncidentName,
    text: Annotated[
        str, typer.Option("--text", help="What people are told, `-` to read it from stdin.")
    ] = "",
    reason: Reason = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Post an update of an open incident; without a text, print the draft of the next one.

    The draft is from the record: whom it hurts now, what changed since the last update, what was
    done, what comes next. Posted, it goes on the timeline and to the channels that people read.
    """
    if text:
        given = sys.stdin.read(_LONGEST_TEXT + 1) if text == "-" else text
        asked = Asked("", cli_actor(), reason, incident=incident, answers={"text": given})
        act(home, action_named("update", About.INCIDENT), asked, as_json=as_json)
        return
    from windvane.core.alerting import Severity
    from windvane.usecases.draft_update import write_draft
    from windvane.usecases.tell_updates import next_update

    settings = wiring.settings(home)
    clock, policy = wiring.clock(settings), settings.updates.policy
    with wiring.store(settings).read() as tx:
        held, draft = tx.incident(incident), write_draft(tx, incident, clock.now())
    due, wall = next_update(held, policy), clock.wall()
    every_s = policy.every(Severity(held.severity))
    if as_json:
        print_json({"number": draft.number, "text": draft.text, "due": due,
                    "overdue": due is not None and wall >= due, "every_s": every_s})  # fmt: skip
        return
    out.print(draft.text, markup=False)
    err.print(_when_due(due, wall))


def _when_due(due: float | None, wall: float) -> str:
    from windvane.usecases.read_model_file import as_duration

    if due is None:
        return "  due       never: it is closed, or nobody was told of it yet"
    span = as_duration(float(round(abs(due - wall))))
    return f"  due       {f'overdue for {span}' if wall >= due else f'in {span}'}"


def silence(
    name: Annotated[str, typer.Argument(help="A model, or an incident's id for its cause alone.")],
    lasts: Annotated[str, typer.Option("--for", help="For how long, such as `2h`.")] = "2h",
    lift: Annotated[bool, typer.Option("--lift", help="End the silences of a model.")] = False,
    reason: Reason = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Tell nobody of a model's incidents, or of one cause's, for a while.

    They open, act and are recorded as ever. What is still open when the silence ends is told
    then; what is over by then is not.
    """
    with wiring.store(wiring.settings(home)).read() as tx:
        of_incident = not lift and any(i.id == name for i in tx.open_incidents())
    by, lasts_s = cli_actor(), duration(lasts, "--for")
    if of_incident:
        asked = Asked("", by, reason, incident=name, lasts_s=lasts_s)
        act(home, action_named("silence", About.INCIDENT), asked, as_json=as_json)
        return
    action = action_named("lift-silence" if lift else "silence", About.MODEL)
    act(home, action, Asked(name, by, reason, lasts_s=lasts_s), as_json=as_json)


def close(
    incident: IncidentName,
    grade: GradeGiven = "",
    runbook_change: RunbookChange = "",
    reason: Reason = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Close an incident by hand; the reason goes on record.

    A monitor that still finds the cause opens another. A broken feed closes by itself.
    """
    answers = _answers(grade, runbook_change, as_json=as_json)
    asked = Asked("", cli_actor(), reason, incident=incident, answers=answers)
    act(home, action_named("close", About.INCIDENT), asked, as_json=as_json)


def grade(
    incident: IncidentName,
    grade: Annotated[str, typer.Argument(help="What it was: true, harmless or false.")],
    runbook_change: RunbookChange = "",
    reason: Reason = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Say what an incident was: monitors are measured by it.

    True: something was wrong, and it mattered. Harmless: something changed, and nobody was hurt.
    False: nothing had changed. The last word counts, also of what was closed by itself.
    """
    answers = {"grade": grade, "runbook_change": runbook_change}
    asked = Asked("", cli_actor(), reason, incident=incident, answers=answers)
    act(home, action_named("grade", About.INCIDENT), asked, as_json=as_json)


def _answers(grade: str, runbook_change: str, *, as_json: bool) -> dict[str, str]:
    """What was given; who sits at a terminal is asked for what was not."""
    if not as_json and sys.stdin.isatty():
        if not grade:
            asked = "Was it true, harmless or false (empty: not known yet)?"
            grade = typer.prompt(asked, default="", show_default=False, err=True)
        if not runbook_change:
            asked = "What does its runbook lack (none: nothing)?"
            runbook_change = typer.prompt(asked, default="", show_default=False, err=True)
    return {"grade": grade, "runbook_change": runbook_change}


def accept(
    incident: IncidentName,
    grade: GradeGiven = "",
    runbook_change: RunbookChange = "",
    reason: Reason = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Accept what changed as the new normal: the reference of its features begins anew.

    What came since the incident began is what windows are compared with from now on, and a version
    that stands in goes back. It is for changes of inputs that are meant to stay.
    """
    answers = _answers(grade, runbook_change, as_json=as_json)
    asked = Asked("", cli_actor(), reason, incident=incident, answers=answers)
    act(home, action_named("accept", About.INCIDENT), asked, as_json=as_json)
