"""Declare planned maintenance ahead: monitors go on, and nobody is paged."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import ClassVar

import msgspec

from windvane.core.alerting import CauseGroup
from windvane.core.errors import WindvaneError
from windvane.core.journal import Decision
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, Incident, Silence, Tx, UnknownName
from windvane.usecases.issue_key import check_tenant
from windvane.usecases.monitors import cause_kinds
from windvane.usecases.monitors.base import moment
from windvane.usecases.read_model_file import as_duration

LONGEST_S = 7 * 86_400.0
_AHEAD_S = 366 * 86_400.0
_LONGEST_REASON = 500
_MOST = 200


class BadMaintenance(WindvaneError):
    """Planned maintenance that is too long, over already, too far ahead, or has no reason."""

    code: ClassVar[str] = "INC-107"
    hint = "from now or later, for at most 7 days, with a reason"


def plan_maintenance(
    store: ControlStore,
    clock: Clock,
    *,
    begins: float,
    until: float,
    by: str,
    reason: str,
    model: str = "",
    tenant: str = "",
) -> Silence:
    """From ``begins`` to ``until`` (wall, s) of a ``model`` ("" for all), or of one ``tenant``'s
    incidents only. Raises BadMaintenance, BadTenant, UnknownName."""
    wall = clock.wall()
    _check(begins, until, reason, wall)
    if tenant:
        check_tenant(tenant)
    planned = Silence(
        secrets.token_hex(8), model, "", until, by, reason.strip(), begins, tenant, planned=True
    )
    with store.begin([model] if model else []) as tx:
        if model:
            tx.model(model)
        tx.prune_silences(wall)
        if len(find_maintenance(tx, wall)) >= _MOST:
            hint = "`windvane maintenance cancel ID` ends one"
            raise BadMaintenance(f"{_MOST} are planned, {_MOST} may be", hint=hint)
        tx.put_silence(planned)
        said = (
            f"planned maintenance of {scope_of(planned)} from {moment(begins)} to {moment(until)}"
        )
        _decide(tx, clock, planned, "plan_maintenance", "INC-120", said, by, reason)
    return planned


def cancel_maintenance(
    store: ControlStore, clock: Clock, name: str, *, by: str, reason: str = ""
) -> Silence:
    """End it now, or take it away before it began: what is open is told within a minute. Raises
    UnknownName."""
    with store.begin([]) as tx:
        held = maintenance_named(tx, clock.wall(), name)
        tx.drop_silence(held.id)
        said = f"planned maintenance of {scope_of(held)} until {moment(held.until)} was cancelled"
        _decide(tx, clock, held, "cancel_maintenance", "INC-121", said, by, reason)
    return held


def find_maintenance(tx: Tx, wall: float, model: str = "") -> list[Silence]:
    """What is planned or lasts, the one that begins first first; ``model`` "" for all."""
    found = [one for one in tx.silences(wall, model) if one.planned]
    return sorted(found, key=lambda one: (one.begins, one.id))


def maintenance_named(tx: Tx, wall: float, name: str) -> Silence:
    """Raises UnknownName."""
    found = next((one for one in find_maintenance(tx, wall) if one.id == name), None)
    if found is None:
        hint = "`windvane maintenance list` lists what is planned"
        raise UnknownName(f"no planned maintenance {name[:64]!r}", hint=hint)
    return found


def silences_of(held: Sequence[Silence], incident: Incident, wall: float) -> list[Silence]:
    """Those of ``held`` that keep people from being told of the incident at ``wall`` (s)."""
    return [one for one in held if one.begins <= wall < one.until and _covers(one, incident)]


def scope_of(planned: Silence) -> str:
    """What it is of, in words."""
    model = f"model {planned.model}" if planned.model else "all models"
    return f"tenant {planned.tenant} of {model}" if planned.tenant else model


def _covers(one: Silence, incident: Incident) -> bool:
    if one.model not in ("", incident.model) or one.cause not in ("", incident.cause):
        return False
    if not one.tenant:
        return True
    kind = cause_kinds().get(incident.kind)
    of_tenant = kind is not None and kind.responds_to is CauseGroup.TENANT
    return of_tenant and incident.cause.partition(":")[2] == one.tenant


def _check(begins: float, until: float, reason: str, wall: float) -> None:
    if not reason.strip():
        raise BadMaintenance("reason is missing")
    if len(reason) > _LONGEST_REASON:
        sides = f"reason has {len(reason):,} characters, {_LONGEST_REASON} are the most"
        raise BadMaintenance(sides)
    if not until > begins:
        raise BadMaintenance("until is not after from", hint="the end lies after the beginning")
    if until - begins > LONGEST_S:
        raise BadMaintenance(
            f"it lasts {as_duration(round(until - begins))}, {as_duration(LONGEST_S)} are the most"
        )
    if until <= wall:
        raise BadMaintenance(f"until is {moment(until)}, which is over")
    if not begins - wall <= _AHEAD_S:
        raise BadMaintenance(f"from is {moment(begins)}, a year ahead is the most")


def _decide(
    tx: Tx, clock: Clock, of: Silence, action: str, code: str, said: str, by: str, reason: str
) -> None:
    tx.decide(
        Decision(
            f"maintenance/{of.id}/{action}", of.model, "", scope_of(of), action, clock.now(), {},
            {"maintenance": msgspec.to_builtins(of)}, Verdict(Outcome.PASS, code, said), (), by,
            reason,
        )
    )  # fmt: skip
