"""Traces of requests, for any collector that takes OTLP."""

from windvane.adapters.opentelemetry.tracer import OtlpTracer

__all__ = ["OtlpTracer"]
