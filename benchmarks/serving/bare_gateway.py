"""The gateway's worker with events, sketches and conformance off. It exists only here.

Nothing is written for the recorder, so nothing is sketched either, and none runs beside it. A
body is decoded by type, as a row must be, and neither bounds nor unknown fields are looked at.
``python -m serving.bare_gateway``, with the home in WINDVANE_HOME.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from windvane.apps.gateway import __main__ as worker
from windvane.apps.gateway import wiring
from windvane.apps.gateway.protocols import native
from windvane.core.signature import FeatureSpec
from windvane.inference.events import EventWriter


class NoSpool:
    """A spool's writer that writes nothing."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def append(self, *payloads: bytes) -> None:
        pass

    def sync(self) -> None:
        pass

    def close(self) -> None:
        pass


class NoEvents(EventWriter):
    """No event is even made."""

    async def keep_prediction(self, request: object, *others: object) -> None:
        del request, others


def typed_decoder(schema: Sequence[FeatureSpec]) -> msgspec.json.Decoder[Any]:
    """The types alone; all features of the benchmark are numbers."""
    features = msgspec.defstruct("Features", [(spec.name, float) for spec in schema])
    row = msgspec.defstruct("Instance", [("features", features), ("unit", str, "")])
    fields = [("instances", list[row]), ("explain", bool, False)]
    return msgspec.json.Decoder(msgspec.defstruct("Body", fields))


def turn_off() -> None:
    """Put these in the places of the gateway's own parts."""
    for module, name, part in (
        (wiring, "FileSpoolWriter", NoSpool),
        (wiring, "EventWriter", NoEvents),
        (native, "make_decoder", typed_decoder),
    ):
        if not hasattr(module, name):
            raise SystemExit(f"{module.__name__} has no {name} any more: {__file__} is out of date")
        setattr(module, name, part)


if __name__ == "__main__":
    turn_off()
    worker.main()
