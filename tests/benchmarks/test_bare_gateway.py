"""The floor without events and conformance still fits the gateway that it is made of."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import pytest
from serving import bare_gateway

from windvane.apps.gateway.protocols import native
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.task import Contract
from windvane.inference.events import EventWriter

FEATURES = tuple(FeatureSpec(name, "v", FeatureType.NUMBER) for name in ("a", "b"))
BODY = b'{"instances": [{"features": {"a": 1, "b": 2.5}, "unit": "u"}], "explain": true}'


def decoded() -> Any:
    contract = Contract(FEATURES)
    model: Any = SimpleNamespace(contract=contract, compile=lambda _name, kind: kind(contract))
    return native.NativeCodec(native.NEWEST).decode(BODY, model, 10)


def test_it_reads_what_the_gateway_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    by_the_gateway = decoded()
    monkeypatch.setattr(native, "make_decoder", bare_gateway.typed_decoder)
    assert decoded() == by_the_gateway


def test_its_writer_takes_what_the_gateway_gives() -> None:
    def given(writer: type) -> list[tuple[str, Any]]:
        found = inspect.signature(writer.keep_prediction).parameters  # type: ignore[attr-defined]
        return [(name, p.kind) for name, p in found.items()]

    assert given(bare_gateway.NoEvents) == given(EventWriter)
