"""What may be done to a deployment against a cause. One file a move, one line in ``MOVES``."""

from __future__ import annotations

from collections.abc import Mapping

from windvane.core.alerting import Response
from windvane.usecases.moves.base import Move, Moved, MoveRequest
from windvane.usecases.moves.mark_source import MarkSource
from windvane.usecases.moves.roll_back import RollBack
from windvane.usecases.moves.stand_in import StandIn
from windvane.usecases.moves.tenant_stand_in import TenantStandIn

# In the order in which they are made.
MOVES: Mapping[str, Move] = {
    m.name: m for m in (MarkSource(), StandIn(), TenantStandIn(), RollBack())
}
MARK_SOURCE, STAND_IN, ROLL_BACK = MarkSource.name, StandIn.name, RollBack.name
TENANT_STAND_IN = TenantStandIn.name

AGAINST_A_SOURCE: Mapping[Response, tuple[str, ...]] = {
    Response.LOG: (MARK_SOURCE,),
    Response.DIGEST: (MARK_SOURCE,),
    Response.NOTIFY: (MARK_SOURCE,),
    Response.FALLBACK: (MARK_SOURCE, STAND_IN),
    Response.ROLLBACK: (MARK_SOURCE, STAND_IN),
}
"""By response, where a source is broken for everyone."""
FOR_A_TENANT: Mapping[Response, tuple[str, ...]] = {
    Response.FALLBACK: (TENANT_STAND_IN,),
    Response.ROLLBACK: (TENANT_STAND_IN,),
}
"""By response, where it is for one tenant."""

__all__ = [
    "AGAINST_A_SOURCE",
    "FOR_A_TENANT",
    "MARK_SOURCE",
    "MOVES",
    "ROLL_BACK",
    "STAND_IN",
    "TENANT_STAND_IN",
    "Move",
    "MoveRequest",
    "Moved",
]
