"""Send the weekly digest, once a week, to the channels that ask for it."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from windvane.core.alerting.digest import digest_html, digest_text, digest_title
from windvane.core.errors import WindvaneError
from windvane.core.journal import Decision, Effect
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, OutboxItem, UnknownName
from windvane.ports.notifier import Message
from windvane.usecases.notify_people import Outlets
from windvane.usecases.write_digest import write_digest

DIGEST = "send_digest"
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
# Of an installation that was down, or asks for it only now, no older one is made up for.
_LATE_S = 86_400.0


@dataclass(frozen=True, slots=True)
class DigestPlan:
    """To which ``channels``, about models of ``team`` ("" for all), on which ``day`` (mon to sun)
    at which full ``hour`` (0 to 23) of ``zone``."""

    channels: tuple[str, ...]
    team: str = ""
    day: str = "mon"
    hour: int = 8
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))


def last_due(plan: DigestPlan, wall: float) -> float:
    """The latest time at or before ``wall`` (s) at which it was to be sent. An hour that the clocks
    leave out is the one after it."""
    here = dt.datetime.fromtimestamp(wall, plan.zone)
    back = (here.weekday() - DAYS.index(plan.day)) % 7
    for days in (back, back + 7):
        day = here.date() - dt.timedelta(days=days)
        at = dt.datetime.combine(day, dt.time(plan.hour), plan.zone).timestamp()
        if at <= wall:
            return at
    return at


def queue_digests(
    store: ControlStore,
    clock: Clock,
    plans: Sequence[DigestPlan],
    expire_after_s: float,
    console_url: str = "",
) -> int:
    """Write those that are due and queue them for their channels; how many. One of a week is
    queued once, whoever asks: its decision is named by the week."""
    queued, wall = 0, clock.wall()
    for plan in plans:
        due = last_due(plan, wall)
        if wall - due > _LATE_S:
            continue
        name = _name(plan, due)
        with store.read() as tx:
            with contextlib.suppress(UnknownName):
                tx.decision(name)
                continue
            now = clock.now()
            found = write_digest(tx, now, wall, expire_after_s, team=plan.team)
        words = {
            "title": digest_title(found),
            "body": digest_text(found, console_url),
            "html": digest_html(found, console_url),
        }
        effects = tuple(Effect(DIGEST, {**words, "channel": one}) for one in plan.channels)
        verdict = Verdict(Outcome.PASS, "NOT-100", words["title"])
        facts = {"team": plan.team, "due": due, "channels": list(plan.channels)}
        with store.begin([]) as tx:
            decision = Decision(name, "", "", "digest", DIGEST, now, {}, facts, verdict, effects)
            queued += tx.decide(decision)
    return queued


def tell_digest(outlets: Outlets, item: OutboxItem) -> None:
    """Raises what its channel raised, and WindvaneError where the settings have it no more."""
    name = str(item.body["channel"])
    channel = outlets.channels.get(name)
    if channel is None:
        raise WindvaneError(f"the settings have no channel {name!r} any more")
    link = f"{outlets.console_url.rstrip('/')}/digest" if outlets.console_url else ""
    channel.send(
        Message(
            item.key, str(item.body["title"]), str(item.body["body"]), severity="low", link=link,
            html=str(item.body["html"]),
        )
    )  # fmt: skip


def _name(plan: DigestPlan, due: float) -> str:
    day = dt.datetime.fromtimestamp(due, plan.zone).date().isoformat()
    to = hashlib.sha256("\0".join((plan.team, *plan.channels)).encode()).hexdigest()[:12]
    return f"digest/{to}/{day}"
