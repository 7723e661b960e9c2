"""Keys, limits, users and silences beside the story's models."""

from __future__ import annotations

from journeys.console_seed import Seeded

from windvane.adapters.argon2 import Argon2Hasher
from windvane.adapters.clock import SystemClock
from windvane.core.routing import TenantLimit
from windvane.usecases.actions import About, Asked, action_named, perform
from windvane.usecases.issue_key import issue_keys
from windvane.usecases.limit_tenant import limit_tenant
from windvane.usecases.manage_users import add_user
from windvane.usecases.revoke_key import revoke_key, rotate_key

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
    return works
