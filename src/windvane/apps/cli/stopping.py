"""``windvane stop``: end the `windvane up` of a home, and no other process."""

from __future__ import annotations

import os
import select
import signal
from typing import ClassVar

from windvane.apps.cli import wiring
from windvane.apps.cli.home import check_home
from windvane.apps.cli.options import AsJson, Home
from windvane.apps.cli.output import err, out, print_json
from windvane.apps.cli.restarts import STOP_WITHIN_S
from windvane.apps.cli.running import Holder, find_holder, started_at
from windvane.core.errors import WindvaneError

_SLACK_S = 5.0


class StopFailed(WindvaneError):
    """What serves a home could not be stopped."""

    code: ClassVar[str] = "SUP-104"
    hint = "`windvane logs` has its last words"


def stop(home: Home = None, as_json: AsJson = False) -> None:
    """Stop the `windvane up` of this home, and wait until it has ended.

    Requests that are open are answered first. Where nothing is up that is said, and the exit
    status is 0; where it does not end in time it is 1.
    """
    settings = wiring.settings(home)
    check_home(settings)
    holder = find_holder(settings.folder)
    if holder is not None:
        # The supervisor gives its processes that long before it kills them.
        within_s = settings.drain_s + STOP_WITHIN_S + _SLACK_S
        with err.status(f"waiting for process {holder.pid}"):
            end_process(holder, within_s)
    if as_json:
        pid = None if holder is None else holder.pid
        print_json({"home": str(settings.folder), "stopped": holder is not None, "pid": pid})
    elif holder is None:
        out.print(f"nothing is up on {settings.folder}")
    else:
        out.print(f"stopped: process {holder.pid} of {settings.folder}")


def end_process(holder: Holder, within_s: float) -> None:
    """SIGTERM to the very process that holds a home, and wait for its end. Raises StopFailed where
    its number is another's by now, or it goes on for ``within_s``."""
    try:
        # What it names stays that process, whoever is given its number afterwards.
        named = os.pidfd_open(holder.pid)
    except ProcessLookupError:
        return
    try:
        if holder.started and started_at(holder.pid) != holder.started:
            raise StopFailed(
                f"process {holder.pid} is another by now than the one that took the home",
                hint="`windvane doctor` says what holds it",
            )
        signal.pidfd_send_signal(named, signal.SIGTERM)
        ended, _, _ = select.select([named], [], [], within_s)
    except PermissionError as error:
        raise StopFailed(
            f"process {holder.pid} belongs to another user", hint="stop it as the home's owner"
        ) from error
    except ProcessLookupError:
        return
    finally:
        os.close(named)
    if not ended:
        raise StopFailed(
            f"process {holder.pid} did not end within {within_s:.0f} s",
            hint=f"`windvane logs` has its last words; `kill -KILL {holder.pid}` ends it hard",
        )
