"""Store a deployment as it is from now on, and what follows for gateways and the registry."""

from __future__ import annotations

import logging
from dataclasses import replace

from windvane.core.journal import Effect
from windvane.ports.control_store import Deployment, Tx
from windvane.usecases.publish_routing import ALIAS, routing_effects
from windvane.usecases.read_model_file import BadModelFile, ModelFile, read_model_file
from windvane.usecases.record_rollout import record_rollout

_log = logging.getLogger(__name__)


def change_deployment(
    tx: Tx, before: Deployment | None, after: Deployment, *, rollout_ends: str = "replaced"
) -> tuple[Effect, ...]:
    """The effects that follow; none where nothing changes. ``rollout_ends`` says how, where one
    does.

    A stand-in answers for one champion: with another it has to be chosen anew. The registry's
    alias follows the champion, whoever changed it and why.
    """
    if before == after:
        return ()
    moved = before is not None and before.champion != after.champion
    if moved and before is not None and after.standing_in == before.standing_in:
        after = replace(after, standing_in=None, stand_ins={})
    if (before is not None and before.rollout) or after.rollout:
        record_rollout(tx, _file_of(tx, after.model), before, after, after.changed_at, rollout_ends)
    tx.put_deployment(after)
    effects = routing_effects(tx, [after.model])
    if moved:
        body = {"model": after.model, "alias": "champion", "version": after.champion}
        effects += (Effect(ALIAS, body),)
    return effects


def _file_of(tx: Tx, model: str) -> ModelFile | None:
    """None where it cannot be read: nobody has to mend a file before a version is taken back."""
    try:
        return read_model_file(tx.model(model).text)
    except BadModelFile:
        _log.warning("the file of model %s cannot be read: a stage is not recorded", model)
        return None
