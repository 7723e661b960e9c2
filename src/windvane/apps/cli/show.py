"""Tables for people."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from windvane.core.acceptance import ParityReport
from windvane.core.execution import Environment
from windvane.core.routing import TenantLimit
from windvane.core.task import KINDS, metric_name
from windvane.ports.control_store import (
    Access,
    Deployment,
    Incident,
    KeyRecord,
    VersionRecord,
)
from windvane.usecases.list_environments import EnvironmentUse

_PACKAGES_SHOWN = 8


def moment(seconds: float | None) -> str:
    """UTC to the minute; "" for None."""
    if seconds is None:
        return ""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M")


def health(live: Deployment | None, open_incidents: Sequence[Incident]) -> str:
    """One word for now."""
    if live is None:
        return "not deployed"
    harmful = [i for i in open_incidents if i.severity == "high" and i.kind != "canary"]
    if harmful:
        return "broken, fallback in place" if live.standing_in else "broken"
    if live.challenger:
        return f"canary at {live.share:.0%}"
    kinds = sorted({i.kind for i in open_incidents})
    return "healthy" if not kinds else f"healthy; look at: {', '.join(kinds)}"


def models_table(
    rows: Sequence[tuple[str, Deployment | None, Sequence[Incident], int]],
) -> Table:
    table = Table("model", "health", "champion", "challenger", "stands in", "versions", "incidents")
    for name, live, opened, versions in rows:
        table.add_row(
            name,
            health(live, opened),
            live.champion if live else "",
            f"{live.challenger} ({live.share:.0%})" if live and live.challenger else "",
            (live.standing_in or "") if live else "",
            str(versions),
            str(len(opened)),
        )
    return table


def versions_table(versions: Sequence[VersionRecord], live: Deployment | None) -> Table:
    kinds = {KINDS[v.task] for v in versions}
    told = ", ".join(sorted(metric_name(kind.metric) for kind in kinds))
    table = Table("version", "role", "needs views", told or "metric", "registered")
    for v in versions:
        roles = {
            live.champion: "champion",
            live.challenger: "challenger",
            live.standing_in: "stands in",
            live.previous: "previous",
        } if live else {}  # fmt: skip
        value = v.metrics.get(KINDS[v.task].metric)
        measured = "" if value is None else f"{value:.3f}"
        role = roles.get(v.version, "")
        table.add_row(v.version, role, ", ".join(v.views), measured, moment(v.created_at))
    return table


def incidents_table(incidents: Sequence[Incident]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("incident", overflow="fold", min_width=24)
    for title in ("severity", "since", "closed"):
        table.add_column(title, no_wrap=True)
    table.add_column("what", overflow="fold")
    for i in incidents:
        closed = moment(i.closed_at) if i.closed_at is not None else "[bold red]open[/]"
        table.add_row(i.id, i.severity, moment(i.since), closed, i.title)
    return table


def key_row(key: KeyRecord) -> dict[str, Any]:
    """A key for machines: everything but its hash."""
    entry = key.entry
    return {
        "id": entry.id,
        "tenant": entry.tenant,
        "name": key.name,
        "scopes": list(entry.scopes),
        "created_at": key.created_at,
        "expires_at": entry.expires_at,
        "revoked_at": key.revoked_at,
        "api_version": entry.api_version,
        "successor": key.successor,
    }


def keys_table(keys: Sequence[KeyRecord], now: float) -> Table:
    table = Table("key", "tenant", "name", "scopes", "created", "state")
    for key in keys:
        entry = key.entry
        if key.revoked_at is not None:
            state = f"revoked {moment(key.revoked_at)}"
        elif entry.expired(now):
            state = f"expired {moment(entry.expires_at)}"
        else:
            state = f"until {moment(entry.expires_at)}" if entry.expires_at else "works"
        scopes = ", ".join(entry.scopes)
        table.add_row(entry.id, entry.tenant, key.name, scopes, moment(key.created_at), state)
    return table


def limits_table(limits: Sequence[TenantLimit]) -> Table:
    table = Table("tenant", "model", "rate", "at one time")
    for limit in limits:
        rate = f"{limit.rate:,} in {limit.per_s:g} s" if limit.rate else "any"
        table.add_row(limit.tenant, limit.model or "all", rate, str(limit.concurrent or "any"))
    return table


def access_table(seen: Sequence[Access]) -> Table:
    table = Table("tenant", "key", "model", "action", "calls", "first", "last")
    for a in seen:
        calls, first, last = f"{a.calls:,}", moment(a.first), moment(a.last)
        table.add_row(a.tenant, a.key, a.model, a.action, calls, first, last)
    return table


def parity(report: ParityReport) -> list[str]:
    """What is served against the model's own library, in lines."""
    if report.not_compared:
        return [f"  parity   nothing was compared: {report.not_compared}"]
    worst = max(report.max_difference, report.probe_max_difference)
    told = (
        f"  parity   {report.rows:,} real rows and {report.probes:,} others against "
        f"{report.library or 'the trained model'}: at most {worst:.2g} apart, "
        f"{report.changed_labels:,} labels changed"
    )
    lines = [told]
    for group in report.groups:
        if group.unanswered:
            lines.append(f"           {group.name}: no answer: {group.unanswered}")
        else:
            lines.append(
                f"           {group.name}: {group.rows:,} rows, {group.moved:,} differ, at most "
                f"{group.max_difference:.2g} apart"
            )
    for one in report.examples:
        inputs = ", ".join(f"{name}={value!r}" for name, value in one.inputs.items())
        lines.append(f"           {inputs}: {list(one.library)} there, {list(one.served)} here")
    if report.accepted:
        lines.append(f"  accepted by {report.accepted_by}: {report.accepted}")
    return lines


def packages(held: Mapping[str, Mapping[str, str]], *, own: bool = False) -> list[str]:
    """Those that the model was made with, where others are installed; ``own``: in an environment
    of its own."""
    lines = [
        f"  made with {name} {one['recorded']}, here is {one['installed'] or 'none'}"
        for name, one in held.items()
        if one["recorded"] != one["installed"]
    ]
    if lines and not own:
        lines.append("  to run it with those: register it with --own-environment or --requirements")
    return lines


def environment(held: Environment) -> str:
    """The packages of a version's own, in a line."""
    told = ", ".join(f"{one.name} {one.version}" for one in held.packages[:_PACKAGES_SHOWN])
    more = len(held.packages) - _PACKAGES_SHOWN
    told += f" and {more} more" if more > 0 else ""
    return f"  packages of its own, in {held.id[:12]}: {told}"


def environments_table(held: Sequence[EnvironmentUse]) -> Table:
    table = Table("environment", "size", "Python", "packages", "used by", "state")
    for one in held:
        told = one.environment
        table.add_row(
            one.id[:12],
            f"{one.size / 1e6:,.0f} MB" if one.size else "",
            told.python if told else "",
            str(len(told.packages)) if told else "",
            ", ".join(one.versions) or "nobody",
            one.damage or "whole",
        )
    return table
