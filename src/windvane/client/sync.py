"""The client that waits."""

from __future__ import annotations

import ssl
import time
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


class Client:
    """A gateway at ``url``, for one API key: ``api_key``, else $WINDVANE_API_KEY.

    Safe to share between threads. ``deadline`` (seconds) is for one request with all its
    retries, of which there are at most ``retries``: after a connection that could not be made,
    429, 503, and after any lost response where a repetition is harmless. It waits for as long
    as the gateway asks for, and a random while more. Bodies over ``compress_above`` bytes are
    compressed. ``verify``: True for the usual authorities, a file of one's own, an SSLContext.

    Every method raises ApiError, which has `code`, `status`, `advice` and `problems`.
    """

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
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._options = Options(
            url.rstrip("/"), key_of(api_key), deadline, retries, compress_above, max_rows,
            connections,
        )  # fmt: skip
        self._http = httpx.Client(
            verify=trust(verify), limits=self._options.limits, transport=transport
        )

    def predict(
        self,
        model: str,
        rows: Rows,
        *,
        units: Sequence[Any] | Any = None,
        idempotency_key: str | None = AUTO,
        deadline: float | None = None,
        explain: bool = False,
    ) -> Predictions:
        """One prediction a row. ``rows``: mappings of features by name, or a DataFrame.

        ``units``: what traffic is split by, one a row. Each call has an idempotency key of its
        own, so that a retry is the same event; give one to make a call repeatable over
        processes, or None for none. ``deadline`` (seconds) is also told to the gateway. More
        rows than fit into one request go in several, one after the other. ``explain``: each
        prediction says what every feature contributed to it, or why that cannot be said.
        """
        calls, index = predict_calls(
            model, rows, units, idempotency_key, deadline is not None, self._options.max_rows,
            explain=explain,
        )  # fmt: skip
        return joined(model, [self._send(call, deadline) for call in calls], index)

    def send_outcomes(self, model: str, outcomes: Any, values: Any = None) -> int:
        """The truth about earlier predictions; how many were taken.

        ``outcomes``: `Predictions` with one of ``values`` each; or rows (mappings, a DataFrame)
        of `request_id` (or `id`, of a prediction made elsewhere), `value`, and `row` if not 0.
        A value is a boolean, a number, a label, or a list of them; rows whose value is null
        are left out.
        """
        calls = outcome_calls(model, outcomes, values, self._options.max_rows)
        return sum(self._send(call) for call in calls)

    def send_events(self, model: str, events: Rows) -> SentEvents:
        """Predictions that were made elsewhere, as rows of `id`, `features`, `outputs`, and
        `version`, `unit`, `time`, `latency_ms` where known; `events_of` makes them of a
        table. Sending one again does no harm."""
        calls = event_calls(model, events, self._options.max_rows)
        return all_sent([self._send(call) for call in calls])

    def models(self) -> list[Model]:
        """The models that this key may ask for. Takes the scope `read`."""
        return self._send(models_call())

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._options.url!r})"

    def _send(self, call: Call[T], deadline: float | None = None) -> T:
        attempts = Attempts(self._options, call, deadline)
        while True:
            try:
                status, headers, body = self._once(call, attempts)
            except httpx.TransportError as error:
                found = attempts.failed(error)
            except RuntimeError as error:
                if self._http.is_closed:
                    raise closed() from error
                raise
            else:
                found = attempts.answered(status, headers, body)
                if not isinstance(found, Again):
                    return found
            time.sleep(found.wait_s)

    def _once(self, call: Call[T], attempts: Attempts[T]) -> tuple[int, dict[str, str], bytes]:
        with self._http.stream(
            call.method,
            self._options.url + call.path,
            content=attempts.body or None,
            headers=attempts.headers(),
            timeout=attempts.timeout(),
        ) as response:
            body = bytearray()
            for part in response.iter_bytes():
                body += part
                if len(body) > MAX_ANSWER_BYTES:
                    raise too_large(len(body))
                if attempts.left_s <= 0.0:
                    raise httpx.ReadTimeout("the response did not end in time")
            return response.status_code, plain_headers(response), bytes(body)
