"""The same client for asyncio."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import Any, TypeVar

import httpx

from windvane.client.calls import (
    AUTO,
    Call,
    all_sent,
    event_calls,
    joined,
    models_call,
    outcome_calls,
    predict_calls,
)
from windvane.client.messages import Model, Predictions, SentEvents
from windvane.client.retrying import (
    MAX_ANSWER_BYTES,
    Again,
    Attempts,
    Options,
    closed,
    key_of,
    plain_headers,
    too_large,
    trust,
)
from windvane.client.rows import Rows

T = TypeVar("T")


class AsyncClient:
    """As `Client`, with methods to await. For one event loop."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8700",
        api_key: str | None = None,
        *,
        deadline: float = 10.0,
        retries: int = 4,
        verify: bool | str | ssl.SSLContext = True,
        compress_above: int | None = 32_768,
        max_rows: int = 1_000,
        connections: int = 20,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._options = Options(
            url.rstrip("/"), key_of(api_key), deadline, retries, compress_above, max_rows,
            connections,
        )  # fmt: skip
        self._http = httpx.AsyncClient(
            verify=trust(verify), limits=self._options.limits, transport=transport
        )

    async def predict(
        self,
        model: str,
        rows: Rows,
        *,
        units: Sequence[Any] | Any = None,
        idempotency_key: str | None = AUTO,
        deadline: float | None = None,
        explain: bool = False,
    ) -> Predictions:
        """As `Client.predict`."""
        calls, index = predict_calls(
            model, rows, units, idempotency_key, deadline is not None, self._options.max_rows,
            explain=explain,
        )  # fmt: skip
        return joined(model, [await self._send(call, deadline) for call in calls], index)

    async def send_outcomes(self, model: str, outcomes: Any, values: Any = None) -> int:
        """As `Client.send_outcomes`."""
        calls = outcome_calls(model, outcomes, values, self._options.max_rows)
        return sum([await self._send(call) for call in calls])

    async def send_events(self, model: str, events: Rows) -> SentEvents:
        """As `Client.send_events`."""
        calls = event_calls(model, events, self._options.max_rows)
        return all_sent([await self._send(call) for call in calls])

    async def models(self) -> list[Model]:
        """As `Client.models`."""
        return await self._send(models_call())

    async def aclose(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"AsyncClient({self._options.url!r})"

    async def _send(self, call: Call[T], deadline: float | None = None) -> T:
        attempts = Attempts(self._options, call, deadline)
        while True:
            try:
                async with asyncio.timeout(max(0.001, attempts.left_s)):
                    status, headers, body = await self._once(call, attempts)
            except (httpx.TransportError, TimeoutError) as error:
                found = attempts.failed(error)
            except RuntimeError as error:
                if self._http.is_closed:
                    raise closed() from error
                raise
            else:
                found = attempts.answered(status, headers, body)
                if not isinstance(found, Again):
                    return found
            await asyncio.sleep(found.wait_s)

    async def _once(
        self, call: Call[T], attempts: Attempts[T]
    ) -> tuple[int, dict[str, str], bytes]:
        async with self._http.stream(
            call.method,
            self._options.url + call.path,
            content=attempts.body or None,
            headers=attempts.headers(),
            timeout=attempts.timeout(),
        ) as response:
            body = bytearray()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > MAX_ANSWER_BYTES:
                    raise too_large(len(body))
            return response.status_code, plain_headers(response), bytes(body)
