"""Traces of requests, for any collector that takes OTLP."""

from windvane.adapters.opentelemetry.tracer import CannotTrace, OtlpTracer

__all__ = ["CannotTrace", "OtlpTracer"]
