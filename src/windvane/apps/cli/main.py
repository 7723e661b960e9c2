"""The commands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec.structs import replace
from rich.console import Console

from windvane.apps.cli import show, wiring
from windvane.apps.cli.environments import environments_commands
from windvane.apps.cli.imports import import_commands
from windvane.apps.cli.optimize import optimize_commands
from windvane.apps.cli.options import AsJson, Home, print_json
from windvane.apps.cli.register import register, watch
from windvane.apps.cli.supervisor import Supervisor, restart_workers
from windvane.apps.cli.tenants import keys_app, tenants_commands
from windvane.core.errors import WindvaneError
from windvane.core.routing import Scope
from windvane.usecases.apply_model import apply_model
from windvane.usecases.deploy_version import deploy_version
from windvane.usecases.dismiss_incident import dismiss_incident
from windvane.usecases.explain_runtime import explain_runtime
from windvane.usecases.issue_key import issue_keys
from windvane.usecases.read_model_file import json_schema
from windvane.usecases.read_settings import HOME_VARIABLE
from windvane.usecases.replay_decision import replay_decision

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Serve machine-learning models to many tenants and keep them healthy.\n\n"
    "The usual order: `windvane up`, then in another terminal `apply`, `train`, `deploy`; "
    "then `status` and `incidents` as often as you like.",
)
app.add_typer(keys_app, name="key")
tenants_commands(app)
import_commands(app)
optimize_commands(app)
environments_commands(app)
_out = Console()
_err = Console(stderr=True)


@app.command()
def up(
    home: Home = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=32, help="Gateway processes; default the setting.")
    ] = None,
) -> None:
    """Start gateway, recorder, steward and console; stop with Ctrl-C.

    What dies is started again. Nothing else needs to be installed: control state lies in
    SQLite, the log in a local Delta Lake folder. `windvane restart` replaces the gateway's
    workers one by one without losing a request.
    """
    settings = wiring.settings(home)
    wiring.start_logging(settings)
    if workers is not None:
        settings = replace(settings, workers=workers)
    wiring.check(settings)
    store = wiring.store(settings)
    # Before a key is shown, which is shown once: the port may be taken, or the home served.
    supervisor = Supervisor(settings, wiring.inherited(settings))
    with store.read() as tx:
        fresh = not tx.key_records()
    if fresh:
        key = issue_keys(
            store, wiring.clock(settings), ["default"], "first",
            scopes=[scope.value for scope in Scope], by="up",
        )["default"]  # fmt: skip
        _out.print(
            "The first API key, for tenant [bold]default[/] and with every scope, shown once:\n"
            f"  {key}"
        )
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: supervisor.ask_to_stop())
    signal.signal(signal.SIGHUP, lambda *_: supervisor.ask_to_restart())
    with _err.status("starting"):
        supervisor.start(lambda name: _err.print(f"  {name} is up"))
    _out.print(f"gateway  {settings.scheme}://{settings.host}:{settings.port}")
    if settings.grpc_port is not None:
        _out.print(f"grpc     {settings.host}:{settings.grpc_port}")
    _out.print(f"console  {settings.scheme}://{settings.host}:{settings.console_port}")
    _out.print(f"home     {settings.folder}")
    sys.stdout.flush()
    try:
        supervisor.watch()
    finally:
        supervisor.stop()


@app.command()
def restart(home: Home = None) -> None:
    """Replace the gateway's workers one by one, each when its successor answers.

    No request is lost: new connections go to whoever accepts, open ones are answered and
    then told to close.
    """
    restart_workers(wiring.settings(home))
    _out.print("the workers are being replaced; logs/ says when")


@app.command()
def apply(
    file: Annotated[Path, typer.Argument(help="The model's YAML file.")] = Path("model.yaml"),
    home: Home = None,
    schema: Annotated[bool, typer.Option(help="Print the JSON Schema of the file.")] = False,
) -> None:
    """Apply a model's file: its features, owner, policy and budgets.

    Applying the same file again changes nothing. `--schema` prints a JSON Schema that gives
    your editor completion.
    """
    if schema:
        print_json(json_schema())
        return
    if not file.is_file():
        raise typer.BadParameter(f"no file {file}; `examples/flights/model.yaml` is one to copy")
    settings = wiring.settings(home)
    parsed, changed = apply_model(wiring.store(settings), wiring.clock(settings), file.read_text())
    _out.print(f"{parsed.model}: {'applied' if changed else 'unchanged'}")


@app.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def train(context: typer.Context, home: Home = None) -> None:
    """Train a version from a table: `train MODEL TABLE --label COLUMN --time COLUMN`.

    Checks the data, trains on the earlier part, evaluates on the later, converts to ONNX
    with a parity check, judges the candidate and registers it in MLflow. More options:
    `--without VIEW` leaves a feed out, `--seed N`, `--holdout-from SECONDS`, `--json`.
    """
    settings = wiring.settings(home)
    wiring.store(settings).close()
    environment = {**os.environ, HOME_VARIABLE: str(settings.folder)}
    command = [sys.executable, "-m", "windvane.apps.trainer", *context.args]
    raise typer.Exit(subprocess.run(command, env=environment, check=False).returncode)


app.command()(register)
app.command()(watch)


@app.command("explain-runtime")
def explain(
    model: str,
    version: Annotated[str, typer.Argument(help="One version; the champion by default.")] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Which runtime serves a version, why, and why not each other one."""
    settings = wiring.settings(home)
    told = explain_runtime(wiring.store(settings), model, version or None)
    if as_json:
        print_json(told)
        return
    _out.print(f"{told.model} version {told.version}: [bold]{told.runtime}[/]")
    _out.print(f"  why      {told.reason}")
    _out.print(f"  runs     {'in a sandbox' if told.sandboxed else 'in the gateway'}")
    if told.needs_trust:
        _out.print(f"  trusted  {'yes' if told.trusted else 'no: `windvane trust MODEL VERSION`'}")
    for name, why in told.passed_over.items():
        _out.print(f"  not {name}: {why}")
    if told.parity is not None:
        for line in show.parity(told.parity):
            _out.print(line, markup=False, highlight=False, soft_wrap=True)
    if told.environment is not None:
        _out.print(show.environment(told.environment), highlight=False, soft_wrap=True)
    for line in show.packages(told.packages, own=told.environment is not None):
        _out.print(line, markup=False, highlight=False, soft_wrap=True)


@app.command()
def deploy(model: str, version: str, home: Home = None) -> None:
    """Put a version live: the first at once, a later one as a canary.

    The canary's gate moves it on, promotes it, or rolls it back by itself.
    """
    settings = wiring.settings(home)
    live = deploy_version(wiring.store(settings), wiring.clock(settings), model, version)
    if live.challenger:
        _out.print(f"{model}: version {live.challenger} begins at {live.share:.0%}")
    else:
        _out.print(f"{model}: version {live.champion} answers everyone")


@app.command()
def status(
    model: Annotated[str, typer.Argument(help="One model; all by default.")] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What is live and how it is, now."""
    settings = wiring.settings(home)
    with wiring.store(settings).read() as tx:
        names = [tx.model(model).name] if model else [m.name for m in tx.models()]
        rows: list[Any] = []
        for name in names:
            opened = [i for i in tx.incidents(name, 100) if i.closed_at is None]
            rows.append((name, tx.deployment(name), opened, tx.versions(name)))
        decisions = tx.decisions(model, 10)
    if as_json:
        print_json(
            {
                "models": [
                    {
                        "model": name,
                        "health": show.health(live, opened),
                        "deployment": live,
                        "open_incidents": [i.id for i in opened],
                        "versions": [v.version for v in versions],
                    }
                    for name, live, opened, versions in rows
                ],
                "decisions": [
                    {"id": d.id, "action": d.action, "at": d.at, "verdict": d.verdict}
                    for d in decisions
                ],
            }
        )
        return
    if not rows:
        _out.print("No model yet. Next: `windvane apply FILE` (docs/tutorial has one).")
        return
    _out.print(show.models_table([(n, live, o, len(v)) for n, live, o, v in rows]))
    if model:
        _out.print(show.versions_table(rows[0][3], rows[0][1]))
    for d in decisions:
        _out.print(f"{show.moment(d.at)}  {d.action:9} {d.subject}: {d.verdict.sentence}")


@app.command()
def incidents(
    incident: Annotated[str, typer.Argument(help="One incident; a list by default.")] = "",
    close: Annotated[str, typer.Option(help="Close this incident by hand; says why.")] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What went wrong, what was done about it, and the evidence."""
    settings = wiring.settings(home)
    if close:
        if not incident:
            raise typer.BadParameter("--close needs the incident's id")
        dismiss_incident(wiring.store(settings), wiring.clock(settings), incident, close)
        _out.print(f"{incident}: closed")
        return
    with wiring.store(settings).read() as tx:
        if not incident:
            found = tx.incidents("", 50)
            if as_json:
                print_json(found)
            elif not found:
                _out.print("No incident. Quiet is the normal state.")
            else:
                _out.print(show.incidents_table(found))
            return
        one, notes = tx.incident(incident), tx.notes(incident)
    if as_json:
        print_json({"incident": one, "timeline": notes})
        return
    _out.print(f"[bold]{one.title}[/]  ({one.severity}, {one.model})")
    _out.print(f"owner {one.owner}   runbook {one.runbook}   since {show.moment(one.since)}")
    for note in notes:
        _out.print(f"  {show.moment(note.at)}  {note.what}")
    for suspect in one.evidence.get("suspects", []):
        _out.print(f"  suspect {suspect['feature']} {suspect['size']:.2f}")


@app.command("replay-decision")
def replay(decision: str, home: Home = None, as_json: AsJson = False) -> None:
    """Judge a recorded decision again, from its own facts and policy.

    Exit status 0 if today's code gives the same verdict, 3 if it does not.
    """
    settings = wiring.settings(home)
    with wiring.store(settings).read() as tx:
        found = tx.decision(decision)
    done = replay_decision(found)
    if as_json:
        print_json(
            {
                "same": done.same,
                "revised": done.revised,
                "recorded": done.recorded,
                "again": done.again,
            }
        )
    else:
        _out.print(f"recorded  {done.recorded.outcome}  {done.recorded.sentence}")
        _out.print(f"again     {done.again.outcome}  {done.again.sentence}")
        if done.revised:
            _out.print("the judge was revised since: its policy has another version now")
    if not done.same:
        raise typer.Exit(3)


@app.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def demo(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Which demo; `flights` is the one.")] = "flights",
) -> None:
    """Watch the whole loop on a year of real flights: quiet weeks, then three faults.

    Options: `--json`, `--keep` (leave it running and print the console's address),
    `--home FOLDER`.
    """
    command = [sys.executable, "-m", "windvane.apps.demo", name, *context.args]
    raise typer.Exit(subprocess.run(command, check=False).returncode)


def main() -> None:
    """Entry point: our own errors are a sentence and a hint, never a trace."""
    try:
        app()
    except WindvaneError as error:
        _err.print(f"[bold red]{error.code}[/] {error.message}", highlight=False)
        if error.advice:
            _err.print(f"  hint: {error.advice}", highlight=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
