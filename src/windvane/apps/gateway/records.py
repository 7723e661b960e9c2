"""Events onto the spool: before the answer leaves, or there is no answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from windvane.apps.gateway.refusals import (
    BrokenPromise,
    GatewayError,
    NoAnswer,
    NotRecorded,
)
from windvane.ports.clock import Clock
from windvane.ports.events import EVENT_ENCODER, Denied, OutcomeSeen, Predicted, Refused
from windvane.ports.spool import SpoolFull, SpoolWriter

if TYPE_CHECKING:
    from windvane.apps.gateway.steps import Context

_log = logging.getLogger(__name__)
_SAMPLE_BYTES = 1_000
_DENIED_EVERY_S = 1.0
_MAX_DENIED = 10_000
_encode = EVENT_ENCODER.encode


class Records:
    """One worker's events, by its spool."""

    def __init__(self, spool: SpoolWriter, clock: Clock) -> None:
        self._spool = spool
        self._clock = clock
        self._denied: dict[tuple[str, str], float] = {}

    def predicted(self, context: Context) -> bytes:
        """The event of a request that has its rows, as it is kept."""
        way = context.way
        route = way.model.route
        return _encode(
            Predicted(
                context.request_id, self._clock.now(), context.name, way.tenant, route.layout_id,
                route.rollout, context.latency_us, context.rows, context.caller.key_id,
            )
        )  # fmt: skip

    def keep(self, *events: bytes) -> None:
        """Hand the events to the kernel, all or none. Raises NotRecorded: what they tell of
        must then not be acknowledged."""
        try:
            self._spool.append(*events)
        except SpoolFull as error:
            raise NotRecorded(error.message) from error

    def keep_outcomes(self, outcomes: Iterable[OutcomeSeen]) -> None:
        """All or none; raises NotRecorded."""
        self.keep(*map(_encode, outcomes))

    def refused(self, context: Context, error: GatewayError) -> None:
        """A broken promise of a known tenant is an event too: its judge must see it."""
        way = context.known
        if way is None:  # what strangers ask for must not become labels
            return
        error.tenant, error.model = way.tenant, context.name
        no_answer = isinstance(error, NoAnswer)
        if not no_answer and error.status not in (400, 413, 422):
            return
        routed, arm = (error.routed, error.arm) if isinstance(error, NoAnswer) else ("", "")
        code = error.problems[0][1].code if isinstance(error, BrokenPromise) else error.code
        sample = context.body[:_SAMPLE_BYTES].decode("utf-8", "replace")
        self._try(
            Refused(
                context.request_id, self._clock.now(), context.name, way.tenant,
                way.model.route.layout_id, code, error.message[:500], sample, routed, arm,
                context.caller.key_id,
            )
        )  # fmt: skip

    def denied(self, request_id: str, error: GatewayError) -> None:
        """The use of a known key for what it may not do is an event for the audit. At most one
        a second for each key and reason: that it was tried matters, and a flood must not fill
        the disk."""
        now = time.monotonic()
        if len(self._denied) >= _MAX_DENIED:
            self._denied.clear()
        if now - self._denied.get((error.key_id, error.code), -_DENIED_EVERY_S) < _DENIED_EVERY_S:
            return
        self._denied[error.key_id, error.code] = now
        self._try(
            Denied(
                request_id, self._clock.now(), error.model, error.tenant, error.code, error.key_id
            )
        )

    def _try(self, event: Refused | Denied) -> None:
        try:
            self._spool.append(_encode(event))
        except SpoolFull:
            _log.warning("a refusal was not recorded: the spool is full")

    def now(self) -> float:
        """Business time of what happens now."""
        return self._clock.now()

    def sync(self) -> None:
        """Force what was appended to the disk."""
        try:
            self._spool.sync()
        except OSError:
            _log.exception("spool not synced")

    def close(self) -> None:
        self.sync()
        self._spool.close()
