"""The same answer for the same idempotency key: a client may repeat what it does not know the
fate of."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from windvane.inference.errors import KeyReused, StillUnderWay
from windvane.inference.request import InferenceRequest, InferenceResponse
from windvane.ports.idempotency import IdempotencyStore, StoredAnswer

T = TypeVar("T")
MAX_KEY = 255


class Idempotency:
    """Replays answers by tenant, model and key. A replay makes no event and takes no execution.

    ``replays`` counts them, since whoever reads it last set it to 0.
    """

    def __init__(self, store: IdempotencyStore, ttl_s: float = 86_400.0) -> None:
        self.store = store
        self.replays = 0
        self._ttl_s = ttl_s
        self._working: set[asyncio.Task[Any]] = set()

    async def to_its_end(self, work: Coroutine[Any, Any, T]) -> T:
        """What comes of ``work``, which goes on where its client goes away: between an event on
        the spool and its answer under the key a repetition would make a second event."""
        task = asyncio.ensure_future(work)
        self._working.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._working.discard(task)
        if not task.cancelled():
            task.exception()  # else one that nobody waits for any more is warned about

    async def once(
        self,
        request: InferenceRequest,
        answer: Callable[[InferenceRequest], Awaitable[InferenceResponse]],
    ) -> InferenceResponse:
        """The answer that was given before, else a new one, which is kept.

        Raises KeyReused for another body under the same key, StillUnderWay while the first
        request is being answered.
        """
        scope = (request.access.tenant, request.model, request.idempotency_key)
        place = hashlib.sha256("\x00".join(scope).encode()).digest()
        # The codec's name says what else was asked: form, version, what the answer should be.
        digest = hashlib.sha256(request.codec.name.encode() + b"\x00" + request.body).digest()
        held = await self.store.reserve(place, request.id, digest, self._lease_s(request))
        if held is not None:
            if held.digest != digest:
                raise KeyReused(
                    f"Idempotency-Key {request.idempotency_key[:64]!r} belongs to another request"
                )
            if held.body is None:
                raise StillUnderWay("the request with this key has no answer yet")
            self.replays += 1
            response = InferenceResponse(request, held.body, replayed=True)
            response.id = held.id
            return response
        try:
            response = await answer(request)
        except BaseException:
            await self.store.forget(place, request.id)
            raise
        kept = StoredAnswer(digest, response.id, response.body)
        await self.store.keep(place, request.id, kept, self._ttl_s)
        return response

    def _lease_s(self, request: InferenceRequest) -> float:
        """Until then the first request has an answer, or its worker died."""
        allowed_s = request.deadline - request.began_ns * 1e-9  # by the model, or the client
        return max(1.0, 2.0 * allowed_s) + 5.0
