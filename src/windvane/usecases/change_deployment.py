"""Store a deployment as it is from now on, and what follows for gateways and the registry."""

from __future__ import annotations

from dataclasses import replace

from windvane.core.journal import Effect
from windvane.ports.control_store import Deployment, Tx
from windvane.usecases.publish_routing import ALIAS, routing_effects


def change_deployment(tx: Tx, before: Deployment | None, after: Deployment) -> tuple[Effect, ...]:
    """The effects that follow; none where nothing changes.

    A stand-in answers for one champion: with another it has to be chosen anew. The registry's
    alias follows the champion, whoever changed it and why.
    """
    if before == after:
        return ()
    moved = before is not None and before.champion != after.champion
    if moved and before is not None and after.standing_in == before.standing_in:
        after = replace(after, standing_in=None, stand_ins={})
    tx.put_deployment(after)
    effects = routing_effects(tx, [after.model])
    if moved:
        body = {"model": after.model, "alias": "champion", "version": after.champion}
        effects += (Effect(ALIAS, body),)
    return effects
