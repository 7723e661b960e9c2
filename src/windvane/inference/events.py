"""Events onto the spool: before the answer leaves, or there is no answer."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, cast

import msgspec

from windvane.core.explanation import Explanation
from windvane.inference.errors import (
    EventTooLarge,
    NoAnswer,
    NotRecorded,
    Rejection,
    SchemaViolation,
)
from windvane.inference.request import InferenceRequest
from windvane.inference.waiting import Waiter
from windvane.ports.clock import Clock
from windvane.ports.events import (
    EVENT_ENCODER,
    Column,
    Compared,
    Denied,
    OutcomeSeen,
    Predicted,
    Refused,
    RouteTaken,
    as_column,
    as_columns,
)
from windvane.ports.spool import MAX_EVENT_BYTES, SpoolFull, SpoolWriter

if TYPE_CHECKING:
    from windvane.inference.explaining import Explained

_log = logging.getLogger(__name__)
_SAMPLE_BYTES = 1_000
_DENIED_EVERY_S = 1.0
_MAX_DENIED = 10_000
FULL_FOR_S = 5.0
_encode = EVENT_ENCODER.encode
_to_json = msgspec.json.Encoder().encode


class EventWriter:
    """One worker's events, by its spool. What one batch answered is kept with one write."""

    def __init__(
        self,
        spool: SpoolWriter,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool = spool
        self._clock = clock
        self._monotonic = monotonic
        self._denied: dict[tuple[str, str], float] = {}
        self._waiting: list[tuple[bytes, Waiter[Exception | None] | None]] = []
        self._held = False
        self._failed_at = -math.inf

    def keep_prediction(
        self, request: InferenceRequest, *others: InferenceRequest
    ) -> Waiter[Exception | None]:
        """The event of a request that has its outputs, and those of ``others`` that belong to its
        answer, all or none; what to await for what kept them from being kept (NotRecorded): the
        prediction must then not be given. None: they are kept. Raises EventTooLarge."""
        waiter: Waiter[Exception | None] = Waiter()
        before = [self._predicted(other) for other in others]
        own = self._predicted(request)
        _check_sizes([*before, own])
        if not self._held and not self._waiting:
            asyncio.get_running_loop().call_soon(self.commit)
        self._waiting += [(event, None) for event in before]
        self._waiting.append((own, waiter))
        return waiter

    def _predicted(self, request: InferenceRequest) -> bytes:
        access = request.access
        routes = request.routes
        first = routes[0]
        uniform = len(routes) == 1 or all(route is first or route == first for route in routes)
        # On the wire a named tuple is the same array as the record.
        taken = cast("list[RouteTaken]", [first] if uniform else routes)
        return _encode(
            Predicted(
                request.id, self._clock.now(), request.model, access.tenant,
                access.model.contract.id, access.model.route.rollout, request.latency_us,
                len(routes), as_column(request.units), taken, as_columns(request.rows),
                as_columns(request.outputs), request.client_id, request.principal.key_id,
                _as_texts(request.explanations) if request.explain else "",
            )
        )  # fmt: skip

    def hold(self) -> None:
        """A batch is about to end requests: ``commit`` follows in this turn of the loop."""
        self._held = True

    def commit(self) -> None:
        """Write what waits, all or none, and resume those who wait for it."""
        self._held = False
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        error: Exception | None = None
        try:
            self.keep(*[event for event, _ in waiting])
        except Exception as failure:
            error = failure
        for _, waiter in waiting:
            if waiter is not None:
                waiter.set_result(error)

    def keep(self, *events: bytes) -> None:
        """Hand the events to the kernel, all or none. Raises NotRecorded: what they tell of
        must then not be acknowledged."""
        try:
            self._spool.append(*events)
        except SpoolFull as error:
            self._failed_at = self._monotonic()
            raise NotRecorded(error.message) from error

    def keep_outcomes(self, outcomes: Iterable[OutcomeSeen]) -> None:
        """All or none; raises NotRecorded, EventTooLarge."""
        self._keep_checked(list(map(_encode, outcomes)))

    def keep_imported(self, events: Iterable[Predicted]) -> None:
        """All or none; raises NotRecorded, EventTooLarge."""
        self._keep_checked(list(map(_encode, events)))

    def _keep_checked(self, events: list[bytes]) -> None:
        _check_sizes(events)
        self.keep(*events)

    def rejected(self, request: InferenceRequest, error: Rejection) -> None:
        """What a known tenant sent wrong is an event too, and what got no answer: their
        monitors must see it."""
        access = request.known
        if access is None:  # what strangers ask for must not become labels
            return
        error.tenant, error.model = access.tenant, request.model
        if not isinstance(error, NoAnswer) and not error.content_at_fault:
            return
        routed, arm = (error.routed, error.arm) if isinstance(error, NoAnswer) else ("", "")
        owing = error.owing if isinstance(error, NoAnswer) else ()
        code = error.violations[0][1].code if isinstance(error, SchemaViolation) else error.code
        sample = request.body[:_SAMPLE_BYTES].decode("utf-8", "replace")
        self._try(
            Refused(
                request.id, self._clock.now(), request.model, access.tenant,
                access.model.contract.id, code, error.message[:500], sample, routed, arm,
                request.client_id, request.principal.key_id, error.counts,
                access.model.route.rollout if owing else "", [unit for _, unit in owing],
                [arm for arm, _ in owing],
            )
        )  # fmt: skip

    def denied(self, request_id: str, error: Rejection) -> None:
        """The use of a known key for what it may not do is an event for the audit. At most one
        a second for each key and reason: that it was tried matters, and a flood must not fill
        the disk."""
        now = self._monotonic()
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

    def keep_compared(self, event: Compared) -> bool:
        """Whether there was room for it: nobody waits for it, and it gives way to predictions."""
        payload = _encode(event)
        if self.full or len(payload) > MAX_EVENT_BYTES:
            return False
        try:
            self._spool.append(payload)
        except (SpoolFull, OSError):
            return False
        return True

    def _try(self, event: Refused | Denied) -> None:
        try:
            self._spool.append(_encode(event))
        except (SpoolFull, OSError) as error:
            extra = {"request_id": event.event_id}
            _log.warning("a rejection was not recorded: %s", error, extra=extra)

    @property
    def full(self) -> bool:
        """Whether an event could not be written a moment ago. Only the next one tells whether
        there is room again, so this must not keep it away for longer."""
        return self._monotonic() - self._failed_at < FULL_FOR_S

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
        self.commit()
        self.sync()
        self._spool.close()


def _check_sizes(events: Sequence[bytes]) -> None:
    """One that is too large would take all that are written with it."""
    longest = max(map(len, events), default=0)
    if longest > MAX_EVENT_BYTES:
        raise EventTooLarge(f"an event of {longest:,} bytes > {MAX_EVENT_BYTES:,} allowed")


def _as_texts(explanations: Sequence[Explained | None]) -> Column:
    """A column of JSON texts, "" for what has no explanation."""
    return as_column(
        [_to_json(one).decode() if isinstance(one, Explanation) else "" for one in explanations]
    )
