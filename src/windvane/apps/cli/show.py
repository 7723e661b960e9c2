"""Tables for people."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from windvane.apps.cli.wiring import Column
from windvane.core.task import KINDS, metric_name

if TYPE_CHECKING:
    from windvane.core.acceptance import ParityReport
    from windvane.core.execution import Environment
    from windvane.core.health import Health
    from windvane.core.journal import Decision
    from windvane.core.routing import TenantLimit
    from windvane.ports.control_store import (
        Access,
        Deployment,
        Incident,
        KeyRecord,
        VersionRecord,
    )
    from windvane.ports.event_log import OutcomeCounts
    from windvane.ports.quarantine import Quarantined
    from windvane.ports.users import UserRecord
    from windvane.usecases.list_environments import EnvironmentUse
    from windvane.usecases.read_objectives import ObjectiveReading
    from windvane.usecases.recorded_until import SpoolState

_PACKAGES_SHOWN = 8
_FIELD_SHOWN = 400

# The columns of a table, and its rows.
Table = tuple[Sequence[Column], Sequence[Sequence[str]]]


def moment(seconds: float | None) -> str:
    """UTC to the minute; "" for None."""
    if seconds is None:
        return ""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M")


def counted(number: int, word: str) -> str:
    """``1 model``, ``2 models``."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def models_table(
    rows: Sequence[tuple[str, Deployment | None, Health, int, int]],
) -> Table:
    columns = [
        Column("model", whole=True), Column("health"), Column("champion", whole=True),
        Column("challenger", whole=True), Column("stands in", whole=True),
        Column("versions", right=True), Column("incidents", right=True),
    ]  # fmt: skip
    cells = [
        [
            name,
            f"{health.word} ({health.code})",
            live.champion if live else "",
            f"{live.challenger} ({live.share:.0%})" if live and live.challenger else "",
            (live.standing_in or "") if live else "",
            str(versions),
            str(incidents),
        ]
        for name, live, health, versions, incidents in rows
    ]
    return columns, cells


def versions_table(versions: Sequence[VersionRecord], live: Deployment | None) -> Table:
    kinds = {KINDS[v.task] for v in versions}
    metrics = ", ".join(sorted(metric_name(kind.metric) for kind in kinds))
    columns = [
        Column("version", whole=True), Column("role"), Column(metrics or "metric", right=True),
        Column("registered"), Column("needs views"),
    ]  # fmt: skip
    rows: list[list[str]] = []
    for v in versions:
        roles = {
            live.champion: "champion",
            live.challenger: "challenger",
            live.standing_in: "stands in",
            live.previous: "previous",
        } if live else {}  # fmt: skip
        value = v.metrics.get(KINDS[v.task].metric)
        measured = "" if value is None else f"{value:.3f}"
        views = ", ".join(v.views)
        rows.append([v.version, roles.get(v.version, ""), measured, moment(v.created_at), views])
    return columns, rows


def outcomes_table(counts: Sequence[OutcomeCounts]) -> Table:
    columns = [
        Column("outcomes of", whole=True), Column("joined", right=True),
        Column("unknown", right=True), Column("ambiguous", right=True), Column("late", right=True),
        Column("out of range", right=True), Column("revised", right=True),
        Column("requests refused", right=True),
    ]  # fmt: skip
    rows = [
        [
            one.tenant, f"{one.joined:,}", f"{one.unknown:,}", f"{one.ambiguous:,}",
            f"{one.late:,}", f"{one.out_of_range:,}", f"{one.revised:,}", f"{one.refused:,}",
        ]
        for one in counts
    ]  # fmt: skip
    return columns, rows


def objectives_table(found: Sequence[ObjectiveReading]) -> Table:
    from windvane.usecases.read_model_file import as_duration

    columns = [
        Column("objective", whole=True), Column("wanted", right=True), Column("was", right=True),
        Column("budget left", right=True), Column("of"), Column("burns"),
    ]  # fmt: skip
    rows: list[list[str]] = []
    for one in found:
        kinds = {burn.reading.rule.page for burn in one.burns if burn.since is not None}
        burns = "page" if True in kinds else "ticket" if kinds else "no"
        good = 1.0 - one.seen.bad / one.seen.total if one.seen.total else None
        rows.append(
            [
                one.objective.title,
                f"{100.0 * one.wanted:.6g}%",
                "" if good is None else f"{good:.3%}",
                f"{one.left:.1%}" if one.until is not None else "",
                as_duration(one.over_s),
                burns if one.until is not None else "not judged yet",
            ]
        )
    return columns, rows


def objectives_json(found: Sequence[ObjectiveReading]) -> list[dict[str, Any]]:
    """``until`` is null, and nothing said of the budget, before the first window was judged."""
    return [
        {
            "objective": one.objective.name,
            "wanted": round(one.wanted, 12),
            "limit_us": one.objective.limit_us,
            "over_s": one.over_s,
            "until": one.until,
            "counted_since": one.counted_since if one.until is not None else None,
            "bad": one.seen.bad,
            "events": one.seen.total,
            "budget_left": one.left if one.until is not None else None,
            "burn": [
                {
                    "rule": burn.reading.rule.name,
                    "page": burn.reading.rule.page,
                    "factor": burn.reading.rule.factor,
                    "long_s": burn.reading.rule.long_s,
                    "long": burn.reading.long,
                    "short_s": burn.reading.rule.short_s,
                    "short": burn.reading.short,
                    "since": burn.since,
                }
                for burn in one.burns
            ],
        }
        for one in found
    ]


def incidents_table(incidents: Sequence[Incident]) -> Table:
    columns = [
        Column("incident", whole=True), Column("severity"), Column("since"), Column("closed"),
        Column("what"),
    ]  # fmt: skip
    rows = [
        [i.id, i.severity, moment(i.since), moment(i.closed_at) or "open", i.title]
        for i in incidents
    ]
    return columns, rows


def decisions_table(decisions: Sequence[Decision]) -> Table:
    columns = [
        Column("decision", whole=True), Column("at"), Column("action"), Column("subject"),
        Column("verdict"),
    ]  # fmt: skip
    rows = [[d.id, moment(d.at), d.action, d.subject, d.verdict.sentence] for d in decisions]
    return columns, rows


def key_row(key: KeyRecord) -> dict[str, Any]:
    """A key for machines: everything but its hash."""
    entry = key.entry
    return {
        "id": entry.id,
        "tenant": entry.tenant,
        "name": key.name,
        "scopes": list(entry.scopes),
        "roles": [str(grant) for grant in key.grants],
        "created_at": key.created_at,
        "expires_at": entry.expires_at,
        "revoked_at": key.revoked_at,
        "api_version": entry.api_version,
        "successor": key.successor,
    }


def keys_table(keys: Sequence[KeyRecord], now: float) -> Table:
    columns = [
        Column("key", whole=True), Column("tenant", whole=True), Column("name"), Column("state"),
        Column("created"), Column("scopes"),
    ]  # fmt: skip
    rows: list[list[str]] = []
    for key in keys:
        entry = key.entry
        if key.revoked_at is not None:
            state = f"revoked {moment(key.revoked_at)}"
        elif entry.expired(now):
            state = f"expired {moment(entry.expires_at)}"
        else:
            state = f"until {moment(entry.expires_at)}" if entry.expires_at else "works"
        scopes = ", ".join([*entry.scopes, *map(str, key.grants)])
        rows.append([entry.id, entry.tenant, key.name, state, moment(key.created_at), scopes])
    return columns, rows


def user_row(user: UserRecord) -> dict[str, Any]:
    """A user for machines: everything but the password's hash."""
    return {
        "name": user.name,
        "roles": [str(grant) for grant in user.grants],
        "created_at": user.created_at,
        "password_at": user.password_at,
    }


def users_table(users: Sequence[UserRecord]) -> Table:
    columns = [
        Column("user", whole=True), Column("added"), Column("password set"), Column("roles"),
    ]  # fmt: skip
    rows = [
        [
            user.name, moment(user.created_at), moment(user.password_at),
            ", ".join(map(str, user.grants)),
        ]
        for user in users
    ]  # fmt: skip
    return columns, rows


def limits_table(limits: Sequence[TenantLimit]) -> Table:
    from windvane.usecases.read_model_file import as_duration  # reads YAML, as few commands do

    columns = [
        Column("tenant", whole=True), Column("model", whole=True), Column("rate"),
        Column("at one time", right=True),
    ]  # fmt: skip
    rows = [
        [
            limit.tenant,
            limit.model or "all",
            f"{limit.rate:,} in {as_duration(limit.per_s)}" if limit.rate else "any",
            str(limit.concurrent or "any"),
        ]
        for limit in limits
    ]
    return columns, rows


def access_table(accesses: Sequence[Access]) -> Table:
    columns = [
        Column("tenant", whole=True), Column("key", whole=True), Column("model", whole=True),
        Column("action"), Column("calls", right=True), Column("first"), Column("last"),
    ]  # fmt: skip
    rows = [
        [a.tenant, a.key, a.model, a.action, f"{a.calls:,}", moment(a.first), moment(a.last)]
        for a in accesses
    ]
    return columns, rows


def quarantine_table(items: Sequence[Quarantined]) -> Table:
    columns = [
        Column("item", whole=True), Column("kind"), Column("model", whole=True), Column("tenant"),
        Column("at"), Column("reason", whole=True), Column("why"), Column("state"),
    ]  # fmt: skip
    rows = [
        [i.id, i.kind, i.model, i.tenant, moment(i.at), i.reason, i.message, i.status]
        for i in items
    ]
    return columns, rows


def spools_table(states: Sequence[SpoolState]) -> Table:
    columns = [
        Column("spool", whole=True), Column("position", right=True), Column("logged", right=True),
        Column("recorded until"),
        Column("lag", right=True), Column("seen", right=True), Column("lost", right=True),
        Column("state"),
    ]  # fmt: skip
    rows = [
        [
            one.spool,
            f"{one.position:,}",
            f"{one.logged:,}",
            moment(one.watermark) if one.watermark else "",
            f"{one.lag_s:,.0f} s" if one.lag_s is not None else "",
            "" if one.seen_s_ago is None else f"{one.seen_s_ago:,.0f} s ago",
            f"{one.lost_bytes:,}" if one.lost_bytes else "",
            "expired" if one.expired else "there",
        ]
        for one in states
    ]
    return columns, rows


def fields_of(content: Mapping[str, Any]) -> str:
    """A line for each field, cut where it is long."""
    return "\n".join(f"  {name} = {repr(value)[:_FIELD_SHOWN]}" for name, value in content.items())


def parity(report: ParityReport) -> list[str]:
    """What is served against the model's own library, in lines."""
    if report.not_compared:
        return [f"  parity   nothing was compared: {report.not_compared}"]
    worst = max(report.max_difference, report.probe_max_difference)
    summary = (
        f"  parity   {report.rows:,} real rows and {report.probes:,} others against "
        f"{report.library or 'the trained model'}: at most {worst:.2g} apart, "
        f"{report.changed_labels:,} labels changed"
    )
    lines = [summary]
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


def packages(recorded: Mapping[str, Mapping[str, str]], *, own: bool = False) -> list[str]:
    """Those that the model was made with, where others are installed; ``own``: in an environment
    of its own."""
    lines = [
        f"  made with {name} {one['recorded']}, here is {one['installed'] or 'none'}"
        for name, one in recorded.items()
        if one["recorded"] != one["installed"]
    ]
    if lines and not own:
        lines.append("  to run it with those: register it with --own-environment or --requirements")
    return lines


def environment(held: Environment) -> str:
    """The packages of a version's own, in a line."""
    listed = ", ".join(f"{one.name} {one.version}" for one in held.packages[:_PACKAGES_SHOWN])
    more = len(held.packages) - _PACKAGES_SHOWN
    listed += f" and {more} more" if more > 0 else ""
    return f"  packages of its own, in {held.id[:12]}: {listed}"


def environments_table(uses: Sequence[EnvironmentUse]) -> Table:
    columns = [
        Column("environment", whole=True), Column("size", right=True), Column("Python"),
        Column("packages", right=True), Column("used by"), Column("state"),
    ]  # fmt: skip
    rows = [
        [
            use.id[:12],
            f"{use.size / 1e6:,.0f} MB" if use.size else "",
            use.environment.python if use.environment else "",
            str(len(use.environment.packages)) if use.environment else "",
            ", ".join(use.versions) or "nobody",
            use.damage or "whole",
        ]
        for use in uses
    ]
    return columns, rows
