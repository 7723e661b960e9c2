"""Samples requests, and exports their traces by OTLP over HTTP, on a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from windvane.adapters.opentelemetry.spans import SpanMaker
from windvane.core.tracing import read_traceparent
from windvane.ports.tracing import EndedTrace, RequestTrace

_EXPORT_S = 5.0  # for one batch, with what is tried again
_AT_A_TIME = 64  # traces, of about ten spans each
_CLOSE_S = 0.9
_log = logging.getLogger(__name__)


class OtlpTracer:
    """Of requests whose client began no trace, ``ratio`` are sampled, by the trace's id as other
    tools do it. ``endpoint`` takes the traces; ``headers`` go with each export.

    At most ``most_waiting`` ended traces wait for the thread, which looks every ``every_s``
    seconds, or when half as many are there. What comes beyond is dropped and counted, and so is
    what ``endpoint`` does not take within five seconds.
    """

    def __init__(
        self,
        endpoint: str,
        headers: Mapping[str, str],
        ratio: float,
        instance: str,
        *,
        most_waiting: int = 2_048,
        every_s: float = 1.0,
    ) -> None:
        self._where = _without_password(endpoint)
        self._exporter: SpanExporter = OTLPSpanExporter(
            endpoint, headers=dict(headers), timeout=_EXPORT_S
        )
        # It would tell of every try. What matters of that is told here, once.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._maker = SpanMaker(instance)
        self._random = RandomIdGenerator()
        self._mask = TraceIdRatioBased.TRACE_ID_LIMIT
        self._bound = TraceIdRatioBased.get_bound_for_rate(ratio)
        self._most_waiting = most_waiting
        self._every_s = every_s
        self._waiting: deque[EndedTrace] = deque()
        self._look = threading.Event()
        self._closing = False
        self._failing = False
        self._dropped = 0
        self._counting = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="traces", daemon=True)

    def begin(self, traceparent: bytes, tracestate: bytes, began_ns: int) -> RequestTrace | None:
        parent = read_traceparent(traceparent) if traceparent else None
        if parent is not None:
            span_id = self._random.generate_span_id()
            return RequestTrace(
                parent.trace_id, span_id, began_ns, parent, tracestate, sampled=parent.sampled
            )
        trace_id = self._random.generate_trace_id()
        if trace_id & self._mask >= self._bound:
            return None
        return RequestTrace(trace_id, self._random.generate_span_id(), began_ns)

    def end(self, ended: EndedTrace) -> None:
        waiting = self._waiting
        if self._closing or len(waiting) >= self._most_waiting:
            self._drop(1)
            return
        waiting.append(ended)
        if len(waiting) == self._most_waiting // 2:
            self._look.set()

    def take_dropped(self) -> int:
        with self._counting:
            dropped, self._dropped = self._dropped, 0
        return dropped

    async def open(self) -> None:
        """Begin to export."""
        self._thread.start()

    async def aclose(self) -> None:
        """Export what waits, as far as that takes no longer than a second."""
        self._closing = True
        self._look.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, _CLOSE_S)
        self._exporter.shutdown()
        left = len(self._waiting)
        if left:
            self._drop(left)
            self._waiting.clear()
            _log.warning("%d traces were not exported before the end", left)

    def _drop(self, count: int) -> None:
        with self._counting:
            self._dropped += count

    def _work(self) -> None:
        while True:
            self._look.wait(self._every_s)
            self._look.clear()
            closing = self._closing  # before it looks: nothing comes after
            while self._waiting:
                count = min(_AT_A_TIME, len(self._waiting))
                self._export([self._waiting.popleft() for _ in range(count)])
            if closing:
                return

    def _export(self, traces: list[EndedTrace]) -> None:
        began = time.monotonic()
        try:
            result = self._exporter.export(self._maker.spans(traces))
            failed = result is not SpanExportResult.SUCCESS
        except Exception as error:
            _log.error("%d traces were not exported: %s", len(traces), type(error).__name__)
            failed = True
        if failed:
            self._drop(len(traces))
        if failed != self._failing:
            self._failing = failed
            took_s = time.monotonic() - began
            if failed:
                _log.warning(
                    "%s does not take traces (%.1f s); they are dropped", self._where, took_s
                )
            else:
                _log.warning("%s takes traces again", self._where)


def _without_password(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
