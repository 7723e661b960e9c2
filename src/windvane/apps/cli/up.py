"""``windvane up`` and ``windvane restart``."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer
from msgspec.structs import replace

from windvane.apps.cli import running, wiring
from windvane.apps.cli.home import is_home
from windvane.apps.cli.options import AsJson, Home
from windvane.apps.cli.output import err, out, print_json
from windvane.apps.cli.restarts import restart_workers
from windvane.apps.cli.supervisor import Supervisor
from windvane.core.routing import Scope
from windvane.usecases.issue_key import issue_keys
from windvane.usecases.manage_users import FIRST_USER, add_first_user
from windvane.usecases.read_settings import Settings

FIRST_PASSWORD_FILE = "first-password"  # noqa: S105 - a file's name


def up(
    home: Home = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=32, help="Gateway processes; default the setting.")
    ] = None,
    as_json: AsJson = False,
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
    if not is_home(settings.folder):
        err.print(f"  a new home begins in {settings.folder}")
    # Until there is a supervisor to take it, what asks for a restart must not end this process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # Before anything else: who holds the home also holds its ports, and a key is shown once.
    lock = running.claim(settings)
    store = wiring.store(settings, begin=True)
    supervisor = Supervisor(settings, wiring.inherited(settings), lock)
    with store.read() as tx:
        fresh = not tx.key_records()
    key = None
    if fresh:
        key = issue_keys(
            store, wiring.clock(settings), ["default"], "first",
            scopes=[scope.value for scope in Scope], by="up",
        )["default"]  # fmt: skip
    if key is not None and not as_json:
        out.print("The first API key, for tenant default and with every scope, shown once:")
        out.print(f"  {key}")
    if settings.sign_in.oidc is None:
        _tell_first_user(settings, add_first_user(store, wiring.clock(settings), wiring.hasher()))
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: supervisor.ask_to_stop())
    signal.signal(signal.SIGHUP, lambda *_: supervisor.ask_to_restart())
    with err.status("starting"):
        try:
            supervisor.start(lambda name: err.print(f"  {name} is up"))
        except running.CannotStart:
            if key is not None and as_json:  # it is issued, and will not be shown again
                print_json({"home": str(settings.folder), "key": key})
            raise
    places = {"gateway": f"{settings.scheme}://{settings.host}:{settings.port}"}
    if settings.grpc_port is not None:
        places["grpc"] = f"{settings.host}:{settings.grpc_port}"
    places["console"] = f"{settings.scheme}://{settings.host}:{settings.console_port}"
    places["home"] = str(settings.folder)
    if as_json:
        print_json({**places, "key": key})
    else:
        for name, place in places.items():
            out.print(f"{name:<7}  {place}")
    sys.stdout.flush()
    try:
        supervisor.watch()
    finally:
        supervisor.stop()


def _tell_first_user(settings: Settings, password: str | None) -> None:
    """On a terminal once; elsewhere what is printed ends in a log, so a file has it."""
    if password is None:
        return
    if sys.stdout.isatty():
        out.print(f"The first user of the console, {FIRST_USER}, with a password shown once:")
        out.print(f"  {password}")
        return
    file = settings.folder / FIRST_PASSWORD_FILE
    file.touch(0o600)
    file.write_text(password + "\n")
    out.print(f"The first user of the console is {FIRST_USER}; the password is in {file}")


def restart(
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Ask for it, and do not wait for the new workers.")
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Replace the gateway's workers one by one, each when its successor answers.

    No request is lost: new connections go to whoever accepts, open ones are answered and
    then told to close. A successor that does not come up is given up, the old worker goes on,
    and the exit status is 1.
    """
    settings = wiring.settings(home)

    def on_step(sentence: str) -> None:
        if not as_json:
            err.print(f"  {sentence}")

    with err.status("waiting for the new workers"):
        report = restart_workers(settings, on_step, wait=not no_wait)
    if as_json:
        print_json({"state": report.state, "steps": report.steps})
    elif no_wait:
        out.print("the workers are being replaced; logs/ says when")
    else:
        out.print("the new workers have taken over")
