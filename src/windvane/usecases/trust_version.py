"""Vouch for a version whose files can run code, or take that back."""

from __future__ import annotations

import secrets

from windvane.core.journal import Decision
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, Trust
from windvane.usecases.publish_routing import routing_effects


def trust_version(
    store: ControlStore,
    clock: Clock,
    model: str,
    version: str,
    *,
    by: str,
    revoke: bool = False,
    reason: str = "",
) -> Trust:
    """Trust the manifest of a version: these very files, not the version's name. A file that
    changes is another manifest, which nobody trusts. Raises UnknownName."""
    with store.begin() as tx:
        found = tx.version(tx.model(model).name, version)
        trust = Trust(found.manifest, model, version, by, clock.wall())
        if revoke:
            tx.drop_trust(found.manifest)
        else:
            tx.put_trust(trust)
        message = f"version {version} is {'no longer trusted' if revoke else 'trusted'} to run code"
        tx.decide(
            Decision(
                id=f"{model}/trust/{version}/{secrets.token_hex(8)}",
                model=model,
                judge="",
                subject=f"version {version}",
                action="distrust" if revoke else "trust",
                at=clock.now(),
                policy={},
                facts={"manifest": found.manifest},
                verdict=Verdict(Outcome.PASS, "TRU-100", message),
                effects=routing_effects(tx, tx.versions_of(found.manifest)),
                actor=by,
                reason=reason,
            )
        )
    return trust
