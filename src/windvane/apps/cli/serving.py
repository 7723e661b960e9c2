"""``apply``, ``deploy``, ``explain-runtime``: what is served, and by what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from windvane.apps.cli import show, wiring
from windvane.apps.cli.changes import publish
from windvane.apps.cli.options import (
    AsJson,
    Home,
    ModelName,
    NoWait,
    Reason,
    VersionName,
    cli_actor,
)
from windvane.apps.cli.output import err, out, print_json
from windvane.core.execution import RUNTIMES, Place, RuntimeName
from windvane.usecases.actions.deploy import deploy_version
from windvane.usecases.apply_model import apply_model
from windvane.usecases.explain_runtime import explain_runtime, is_watched
from windvane.usecases.read_model_file import BadModelFile, json_schema

_PLACES = {
    Place.GATEWAY: "in the gateway",
    Place.SANDBOX: "in a sandbox",
    Place.SERVER: "on a server of its own",
    Place.ELSEWHERE: "elsewhere; it is watched here",
}


def apply(
    file: Annotated[Path, typer.Argument(help="The model's YAML file.")] = Path("model.yaml"),
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of the file instead.")
    ] = False,
    reason: Reason = "",
    no_wait: NoWait = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Apply a model's file: its features, owner, policy and budgets.

    Applying the same file again changes nothing. `--schema` prints a JSON Schema that gives
    your editor completion.
    """
    if schema:
        print_json(json_schema())
        return
    text = _read(file)
    settings = wiring.settings(home)
    store = wiring.store(settings)
    parsed, changed = apply_model(
        store, wiring.clock(settings), text, by=cli_actor(), reason=reason
    )
    if as_json:
        print_json({"model": parsed.model, "changed": changed})
    else:
        out.print(f"{parsed.model}: {'applied' if changed else 'unchanged'}")
    publish(settings, store, wait=not no_wait)


def _read(file: Path) -> str:
    if not file.is_file():
        raise typer.BadParameter(f"no file {file}; `examples/flights/model.yaml` is one to copy")
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise BadModelFile(
            f"{file.name} is no text in UTF-8: byte {error.start} is {byte:#x}",
            hint="save it as UTF-8",
        ) from error
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from error


def rollback(
    model: ModelName,
    reason: Reason = "",
    no_wait: NoWait = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Return to the version before, or end the rollout that is under way.

    The gateways have it at once, also where the console and the steward are down. Where the
    control database does not answer it is done in this home's routing table, and goes on record
    when the database is back.
    """
    from windvane.apps.cli.acting import act, act_offline
    from windvane.usecases.actions import About, Asked, action_named

    asked, action = Asked(model, cli_actor(), reason), action_named("roll-back", About.MODEL)
    act(home, action, asked, as_json=as_json, wait=not no_wait, offline=act_offline)


def deploy(
    model: ModelName,
    version: VersionName,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Deploy it although it cannot be tried on this machine, because the gateways run "
            "elsewhere.",
        ),
    ] = False,
    reason: Reason = "",
    no_wait: NoWait = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Put a version live: the first at once, a later one as a canary.

    The canary's gate moves it on, promotes it, or rolls it back by itself. Before anything
    changes, the version is loaded and asked in a process of its own on this machine; one that
    no gateway could load is refused.
    """
    settings = wiring.settings(home)
    store = wiring.store(settings)
    with store.read() as tx:
        before = tx.deployment(model)
    live = deploy_version(
        store, wiring.clock(settings), model, version,
        checks=None if force else wiring.serving_checks(settings), by=cli_actor(), reason=reason,
    )  # fmt: skip
    if as_json:
        print_json(live)
    elif live.challenger:
        out.print(f"{model}: version {live.challenger} begins at {live.share:.0%}")
    else:
        with store.read() as tx:
            watched = is_watched(tx.version(model, live.champion))
        does = "is watched; it is served elsewhere" if watched else "answers everyone"
        out.print(f"{model}: version {live.champion} {does}")
    if before is not None and version in before.rolled_back:
        err.print(f"  note      version {version} was rolled back before")
    publish(settings, store, wait=not no_wait)


def explain(
    model: ModelName,
    version: Annotated[str, typer.Argument(help="One version; the champion by default.")] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Which runtime serves a version, why, and why not each other one."""
    settings = wiring.settings(home)
    explained = explain_runtime(wiring.store(settings), model, version or None)
    if as_json:
        print_json(explained)
        return
    out.print(f"{explained.model} version {explained.version}: {explained.runtime}", style="bold")
    out.print(f"  why      {explained.reason}")
    out.print(f"  runs     {_PLACES[RUNTIMES[RuntimeName(explained.runtime)].place]}")
    if explained.needs_trust:
        command = f"windvane trust {explained.model} {explained.version}"
        out.print(f"  trusted  {'yes' if explained.trusted else f'no: `{command}`'}")
    for name, why in explained.passed_over.items():
        out.print(f"  not {name}: {why}")
    if explained.parity is not None:
        for line in show.parity(explained.parity):
            out.print(line)
    own = explained.environment
    if own is not None:
        out.print(show.environment(own))
    for line in show.packages(explained.packages, own=own is not None):
        out.print(line)
