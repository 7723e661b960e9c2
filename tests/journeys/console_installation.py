"""Keys, limits, users, silences and what is set aside, beside the story's models."""

from __future__ import annotations

from event_rows import predicted_event
from journeys.console_seed import NOW, Seeded

from windvane.adapters.argon2 import Argon2Hasher
from windvane.adapters.clock import SystemClock
from windvane.core.routing import TenantLimit
from windvane.ports.events import EVENT_ENCODER
from windvane.ports.quarantine import MAX_BODY_BYTES, ItemKind, Quarantined
from windvane.usecases.actions import About, Asked, action_named, perform
from windvane.usecases.issue_key import issue_keys
from windvane.usecases.limit_tenant import limit_tenant
from windvane.usecases.manage_users import add_user
from windvane.usecases.revoke_key import revoke_key, rotate_key

_AT = NOW - 3_600.0
_LONG = "a-tenant-with-a-rather-long-name-that-goes-on.example.com"


def seed_installation(told: Seeded) -> str:
    """The id of a key that works and can be rotated."""
    store, clock = told.store, SystemClock()
    made = issue_keys(store, clock, ["acme", "birch-jet", _LONG], "checkout", expires_in_s=7e6)
    old, gone, works = (key.split("_")[1] for key in made.values())
    rotate_key(store, clock, old, grace_s=86_400.0)
    revoke_key(store, clock, gone)
    grants = ["viewer", "operator@team:ops"]
    issue_keys(store, clock, ["platform"], "terraform", scopes=["admin"], grants=grants)
    for limit in (TenantLimit("*", rate=600), TenantLimit("acme", "flight-delay", 5, 10.0, 2)):
        limit_tenant(store, clock, limit)
    hasher = Argon2Hasher(memory_kib=64, passes=1)
    for name, role in (("ben", "admin"), ("eva@example.org", "operator@team:ops")):
        add_user(store, clock, hasher, name, "correct horse battery", [role], by="t")
    for lasts_s in (7_200.0, 86_400.0):
        asked = Asked("flight-delay", "user:ben", "the feed is repaired", lasts_s=lasts_s)
        perform(store, clock, action_named("silence", About.MODEL), asked)
    seed_quarantine(told)
    return works


def seed_quarantine(told: Seeded) -> None:
    """An event that can be read, one that is cut, and a notification."""
    event = predicted_event("e1", _AT, "flight-delay", "acme", "c", values=[1.5], outputs=[0.25])
    body = EVENT_ENCODER.encode(event)
    message = "NoSuchContract: the contract 5f0c9a1d22be of flight-delay is not known here"
    items = [
        Quarantined("a1", ItemKind.EVENT, "flight-delay", "acme", _AT, "REC-102", message, body,
                    len(body), "host-gateway-0@7"),
        Quarantined("a2", ItemKind.EVENT, "", "", _AT + 60.0, "REC-101", "no event", b"\xff\x00",
                    MAX_BODY_BYTES + 1, "host-gateway-0@900"),
        Quarantined("a3", ItemKind.NOTIFICATION, "flight-delay", "", _AT + 90.0, "NOT-101",
                    "nobody took it", b'{"key": "d#0", "body": {"title": "late"}}', 41, "d#0"),
    ]  # fmt: skip
    with told.store.begin() as tx:
        tx.add_quarantined(items)
