"""Give a tenant an API key. Only its hash is kept."""

from __future__ import annotations

import hashlib
import secrets
from typing import ClassVar

from windvane.core.errors import WindvaneError
from windvane.core.journal import Decision
from windvane.core.routing import KeyEntry
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore
from windvane.usecases.publish_routing import routing_effects


class BadTenant(WindvaneError):
    """A tenant is called by 1 to 128 printable characters."""

    code: ClassVar[str] = "KEY-101"
    hint = "a short name such as `acme`"


def issue_keys(store: ControlStore, clock: Clock, tenants: list[str], name: str) -> dict[str, str]:
    """A fresh key for each tenant; shown once, never stored.

    A key is 256 random bits, so a plain SHA-256 of it cannot be searched for.
    """
    for tenant in tenants:
        if not 0 < len(tenant) <= 128 or tenant != tenant.strip() or not tenant.isprintable():
            raise BadTenant(f"{tenant!r} is no tenant's name")
    keys = {tenant: f"wv_{secrets.token_urlsafe(32)}" for tenant in tenants}
    with store.begin() as tx:
        for tenant, key in keys.items():
            tx.add_key(
                KeyEntry(hashlib.sha256(key.encode()).hexdigest(), tenant), name, clock.now()
            )
        tx.decide(
            Decision(
                id=f"keys/{name}/{secrets.token_hex(8)}",
                model="",
                judge="",
                subject="keys",
                action="issue",
                at=clock.now(),
                policy={},
                facts={"tenants": tenants, "name": name},
                verdict=Verdict(Outcome.PASS, "KEY-100", f"{len(tenants)} keys issued"),
                effects=routing_effects(tx),
            )
        )
    return keys
