"""Who may ask for what: keys, scopes and the limits of tenants."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass


class Scope(enum.StrEnum):
    """What a key is good for. ``events`` tells of predictions that were made elsewhere, so it may
    write into what monitors see. ``admin`` manages keys, limits and trust of every tenant; the
    others stay within the key's own tenant."""

    PREDICT = "predict"
    OUTCOMES = "outcomes"
    EVENTS = "events"
    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"


class ApiVersion(enum.StrEnum):
    """Dated behaviours of the gateway's API; a request is served as of the one it names.

    2026-11-01: as the first release. 2026-11-21: each prediction says ``why`` in words.
    2026-11-28: each has every output of the model's task by its name.
    """

    FIRST = "2026-11-01"
    WITH_WHY = "2026-11-21"
    WITH_OUTPUTS = "2026-11-28"


CLIENT_SCOPES = (Scope.PREDICT.value, Scope.OUTCOMES.value)


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A SHA-256 of an API key and what it stands for.

    ``id`` names the key in lists and in the audit. It is good until ``expires_at`` (seconds
    since the epoch; None for always) and pins its callers to ``api_version`` ("" for the
    newest) where a request names none.
    """

    digest: str
    tenant: str
    id: str = ""
    scopes: tuple[str, ...] = CLIENT_SCOPES
    expires_at: float | None = None
    api_version: str = ""

    def expired(self, now: float) -> bool:
        return self.expires_at is not None and now >= self.expires_at


@dataclass(frozen=True, slots=True)
class TenantLimit:
    """Bounds of one tenant, over all models or (``model``) on one of them.

    At most ``rate`` requests in any ``per_s`` seconds and ``concurrent`` under way; 0 for no
    such bound. ``tenant`` "*" holds for every tenant that has no line of its own.
    """

    tenant: str
    model: str = ""
    rate: int = 0
    per_s: float = 60.0
    concurrent: int = 0


EVERYONE = "*"


def is_tenant_name(name: str) -> bool:
    """1 to 128 printable characters, and not the pattern that stands for every tenant."""
    return 0 < len(name) <= 128 and name == name.strip() and name.isprintable() and name != EVERYONE


def limits_of(limits: Sequence[TenantLimit], tenant: str, model: str) -> list[TenantLimit]:
    """The lines that bind ``tenant`` on ``model``: one over all models and one of this model,
    each the tenant's own where there is one, else everyone's."""
    out: list[TenantLimit] = []
    for scope in ("", model):
        own = [limit for limit in limits if limit.model == scope and limit.tenant == tenant]
        shared = [limit for limit in limits if limit.model == scope and limit.tenant == EVERYONE]
        out += (own or shared)[:1]
    return out
