"""Whom an incident hurts: each tenant's rows against what is usual of that tenant."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from windvane.core.statistics import level_words, share_bounds

ALPHA = 0.025
"""On each side: the bounds are those of a 95% interval."""
_LEAST_RISE = 0.01
_CLUSTER = 3
_LARGE = 0.2
_MOST_TENANTS = 100
_MOST_SAID = 3


class Harm(enum.StrEnum):
    """What may become of a row. FAILED: no answer, or none but an error. FELL_BACK: a version
    before, a rule or a constant answered. NULLS: it lacks the suspect feature."""

    FAILED = "failed"
    FELL_BACK = "fell_back"
    NULLS = "nulls"


@dataclass(frozen=True, slots=True)
class TenantCounts:
    """Rows of one tenant in a span of time: asked for (``rows``, in ``requests``), of those
    ``failed`` (``unanswered`` among them) and ``fell_back``, and how many were ``looked_at`` for
    the suspect feature, of which ``nulls`` lack it. Addition merges them."""

    rows: int = 0
    requests: int = 0
    failed: int = 0
    fell_back: int = 0
    looked_at: int = 0
    nulls: int = 0
    unanswered: int = 0

    def __add__(self, other: TenantCounts) -> TenantCounts:
        return TenantCounts(
            *(getattr(self, f.name) + getattr(other, f.name) for f in fields(TenantCounts))
        )

    def share(self, harm: Harm) -> Share:
        if harm is Harm.NULLS:
            return Share(self.nulls, self.looked_at)
        part = self.failed if harm is Harm.FAILED else self.fell_back
        return Share(min(part, self.rows), self.rows)


@dataclass(frozen=True, slots=True)
class Share:
    """``part`` of ``of`` rows."""

    part: int
    of: int

    @property
    def value(self) -> float | None:
        """0 to 1; None of no rows."""
        return self.part / self.of if self.of else None

    @property
    def bounds(self) -> tuple[float, float]:
        """The 95% interval of Clopper and Pearson (Biometrika 26, 1934), as if rows were
        independent."""
        return share_bounds(self.part, self.of, ALPHA)

    def clustered(self, alpha: float) -> tuple[float, float]:
        """The interval where three rows are one."""
        return share_bounds(round(self.part / _CLUSTER), -(-self.of // _CLUSTER), alpha)


@dataclass(frozen=True, slots=True)
class Hit:
    """What rose for a tenant: the share ``now`` and the ``usual`` one (of no rows: not known)."""

    tenant: str
    harm: Harm
    now: Share
    usual: Share


def find_hits(
    now: Mapping[str, TenantCounts],
    usual: Mapping[str, TenantCounts],
    harms: Collection[Harm],
) -> list[Hit]:
    """Of every tenant each share that is above its own usual by a point and by what is left to
    chance, most rows first: whose bounds lie apart, each at 1% over all that is compared, with
    three rows counted as one, as some come from one client. Where the usual is not known, it is so
    where more than a fifth of the rows are."""
    found: list[Hit] = []
    alpha = ALPHA / 5.0 / max(1, len(now) * len(harms))
    for tenant, counts in now.items():
        for harm in harms:
            one, before = counts.share(harm), usual.get(tenant, TenantCounts()).share(harm)
            if one.value is None or one.value < (before.value or 0.0) + _LEAST_RISE:
                continue
            most = _LARGE if before.value is None else before.clustered(alpha)[1]
            if one.clustered(alpha)[0] <= most:
                continue
            found.append(Hit(tenant, harm, one, before))
    return sorted(found, key=lambda hit: (-hit.now.part, hit.tenant, hit.harm))


def impact_evidence(
    now: Mapping[str, TenantCounts],
    usual: Mapping[str, TenantCounts],
    *,
    span: tuple[float, float],
    usual_span: tuple[float, float],
    feature: str = "",
    kinds: Collection[str] = (),
    only: str = "",
    hurts_if: str = "",
) -> dict[str, Any]:
    """As an incident keeps it, in plain JSON. ``span`` and ``usual_span`` are (from, to) in s of
    what was counted. Rows without the suspect ``feature`` are harm only where nulls are what
    changed (``kinds``). ``only`` names the one tenant that it is about, "" for all. ``hurts_if``:
    see `CauseKind`."""
    mine = {t: counts for t, counts in now.items() if not only or t == only}
    harms = [Harm.FAILED, Harm.FELL_BACK]
    if counts_nulls(feature, kinds):
        harms.append(Harm.NULLS)
    hits = find_hits(mine, usual, harms)
    total = sum(mine.values(), TenantCounts())
    shares = {harm.value: total.share(harm) for harm in harms}
    order = sorted(mine, key=lambda t: (-mine[t].rows, t))
    return {
        "from": span[0],
        "to": span[1],
        "usual_from": usual_span[0],
        "usual_to": usual_span[1],
        "rows": total.rows,
        "requests": total.requests,
        "feature": feature,
        "kinds": sorted(kinds),
        "tenants": [{"tenant": t, "rows": mine[t].rows} for t in order[:_MOST_TENANTS]],
        "all_tenants": len(order),
        "hurts_if": hurts_if,
        "totals": {harm: [share.part, share.of] for harm, share in shares.items()},
        "hits": [
            {
                "tenant": hit.tenant,
                "harm": hit.harm.value,
                "part": hit.now.part,
                "of": hit.now.of,
                "usual_part": hit.usual.part,
                "usual_of": hit.usual.of,
            }
            for hit in hits[:_MOST_TENANTS]
        ],
    }


def counts_nulls(feature: str, kinds: Collection[str]) -> bool:
    """Whether rows without the suspect are harm: not where only its values moved."""
    return bool(feature) and bool({"nulls", "outage"} & set(kinds))


def read_hits(impact: Mapping[str, Any]) -> list[Hit]:
    """Those that `impact_evidence` wrote. One of a newer release that has other harms is left
    out."""
    known = {harm.value for harm in Harm}
    return [
        Hit(
            str(one["tenant"]), Harm(one["harm"]), Share(one["part"], one["of"]),
            Share(one["usual_part"], one["usual_of"]),
        )
        for one in impact.get("hits", [])
        if one["harm"] in known
    ]  # fmt: skip


def whom_lines(impact: Mapping[str, Any]) -> list[str]:
    """A line for each tenant that is hit, with its share now and usually; else whose rows there
    were, and that all of them are counted, or what would have to happen before they are hurt."""
    by_tenant: dict[str, list[Hit]] = {}
    for hit in read_hits(impact):
        by_tenant.setdefault(hit.tenant, []).append(hit)
    if by_tenant:
        feature = str(impact.get("feature", ""))
        lines = [
            f"tenant {tenant}: {', '.join(hit_words(hit, feature) for hit in hits)}"
            for tenant, hits in by_tenant.items()
        ]
        more = len(lines) - _MOST_SAID
        return lines[:_MOST_SAID] + ([f"and {more} more tenants"] if more > 0 else [])
    rows: Sequence[Mapping[str, Any]] = impact.get("tenants", [])
    if not rows:
        return []
    named = ", ".join(f"{r['tenant']} ({r['rows']:,} rows)" for r in rows[:_MOST_SAID])
    more = int(impact.get("all_tenants", len(rows))) - _MOST_SAID
    rest = f" and {more} more" if more > 0 else ""
    word = "tenant" if len(rows) == 1 else "tenants"
    if if_what := impact.get("hurts_if"):
        return [f"nobody yet; if {if_what}, {word} {named}{rest}"]
    values = list(impact.get("kinds", [])) == ["values"]
    why = ", for values changed" if values else ""
    return [f"{word} {named}{rest}: all of their rows{why}"]


def hit_words(hit: Hit, feature: str) -> str:
    usual = "not known" if hit.usual.value is None else f"{hit.usual.value:.1%}"
    what = harm_words(hit.harm, feature)
    return (
        f"{what} in {hit.now.part:,} of {hit.now.of:,} rows ({hit.now.value:.1%}, usually {usual})"
    )


def harm_words(harm: Harm, feature: str) -> str:
    return {
        Harm.FAILED: "failed",
        Harm.FELL_BACK: "answered by a fallback",
        Harm.NULLS: f"{feature} missing",
    }[harm]


def counted_words(impact: Mapping[str, Any]) -> str:
    """How many rows and requests there were in the span that was counted."""
    rows, requests = int(impact.get("rows", 0)), int(impact.get("requests", 0))
    if not rows:
        return "no rows"
    return f"{rows:,} {_plural('row', rows)} in {requests:,} {_plural('request', requests)}"


def quality_words(quality: Mapping[str, Any]) -> str:
    """The metric with its interval and the level of that, from what it is known, and how it was
    before; "" where nothing is known."""
    if not quality or quality.get("value") is None:
        return ""
    low, high = quality.get("lower"), quality.get("upper")
    between = interval_words(low, high, quality.get("level"))
    rows, floor = quality.get("rows"), quality.get("floor")
    if quality.get("estimated"):
        of = "an estimate from the answers, until outcomes come"
    else:
        of = f"by {rows:,} outcomes" if rows is not None else "by outcomes"
    held = f", floor {floor:g}" if floor is not None else ""
    when = ", of the time before it began" if quality.get("before") else ""
    return f"{quality['metric']} {quality['value']:g}{between}, {of}{held}{when}"


def interval_words(low: float | None, high: float | None, level: float | None) -> str:
    """` (0.58 to 0.64, 95%)`; "" where it is not known, and no level of what was kept without."""
    if low is None or high is None:
        return ""
    return f" ({low:g} to {high:g}{'' if level is None else f', {level_words(level)}'})"


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
