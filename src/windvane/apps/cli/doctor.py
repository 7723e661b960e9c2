"""``windvane doctor``."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from windvane.apps.cli import wiring
from windvane.apps.cli.checks import Finding, Place, State, examine
from windvane.apps.cli.home import check_home
from windvane.apps.cli.options import AsJson, Home
from windvane.apps.cli.output import out, print_json


def _summary(found: Sequence[Finding], wrong: int) -> str:
    advised = sum(one.state is State.NOTE and bool(one.advice) for one in found)
    more = f"; {advised} of {len(found)} could be better, after `do:`" if advised else ""
    return (f"{wrong} of {len(found)} are wrong" if wrong else "nothing is wrong") + more


_SIGNS = {State.OK: "ok", State.NOTE: "--", State.WRONG: "!!", State.UNKNOWN: "??"}


def doctor(home: Home = None, as_json: AsJson = False) -> None:
    """Look at an installation: what is wrong with it, and what to do.

    Versions, permissions, disk, clock, processes, ports, gateways, leases and the recorder's lag
    are looked at, and nothing is changed. Exit status 1 if anything is wrong or could not be
    looked at.
    """
    settings = wiring.settings(home)
    check_home(settings)
    clock = wiring.clock(settings)
    found = examine(Place(settings, clock.wall, now=clock.now))
    wrong = [one for one in found if one.state in (State.WRONG, State.UNKNOWN)]
    if as_json:
        print_json({"home": str(settings.folder), "wrong": len(wrong), "findings": found})
    else:
        out.print(f"home {settings.folder}", style="bold")
        width = max(len(one.check) for one in found)
        for one in found:
            style = "red" if one in wrong else None
            out.print(f"{_SIGNS[one.state]}  {one.check:<{width}}  {one.saw}", style=style)
            if one.advice:
                out.print(f"    {'':<{width}}  do: {one.advice}")
        out.print(_summary(found, len(wrong)))
    if wrong:
        raise typer.Exit(1)
