"""Roll a model back by hand: end the rollout, or return to the version before."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import ClassVar

from windvane.core.errors import WindvaneError
from windvane.core.journal import Decision
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, Deployment
from windvane.usecases.change_deployment import change_deployment


class CannotRollBack(WindvaneError):
    """Nothing is live, or there is no version to return to."""

    code: ClassVar[str] = "ROL-103"
    hint = "`windvane status MODEL` shows what is live"


def roll_back_version(
    store: ControlStore, clock: Clock, model: str, *, by: str, reason: str
) -> Deployment:
    """The deployment as it is then. A version that is being rolled out is taken back; else the
    champion gives way to the one before it. Raises UnknownName, CannotRollBack."""
    now = clock.now()
    with store.begin() as tx:
        tx.model(model)
        held = tx.deployment(model)
        if held is None:
            raise CannotRollBack(f"no version of {model} is live")
        if held.challenger:
            bad, good = held.challenger, held.champion
            fresh = replace(held, challenger=None, share=0.0, step=0, rollout="", changed_at=now)
        elif held.previous is not None:
            bad, good = held.champion, held.previous
            fresh = replace(held, champion=good, previous=None, changed_at=now)
        else:
            hint = "deploy the version that should answer"
            raise CannotRollBack(f"{model} has no version before {held.champion}", hint=hint)
        fresh = replace(fresh, rolled_back=tuple(sorted({*held.rolled_back, bad})))
        effects = change_deployment(tx, held, fresh)
        message = f"version {bad} was rolled back by hand: version {good} answers everyone"
        tx.decide(
            Decision(
                id=f"{model}/roll-back/{bad}/{secrets.token_hex(8)}",
                model=model,
                judge="",
                subject=f"version {bad}",
                action="rollback",
                at=now,
                policy={},
                facts={"version": bad, "after": good},
                verdict=Verdict(Outcome.PASS, "ROL-110", message),
                effects=effects,
                actor=by,
                reason=reason,
            )
        )
    return fresh
