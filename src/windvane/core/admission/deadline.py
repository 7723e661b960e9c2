"""Until when a request must be answered."""

from __future__ import annotations

import re

_GRPC_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_PLAIN = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*(ms|s)?")
_GRPC = re.compile(r"(\d{1,8})([HMSmun])")


def read_timeout(text: str) -> float | None:
    """Seconds of ``250ms``, ``1.5s`` or ``0.25``; None if it is none of these or zero."""
    found = _PLAIN.fullmatch(text.strip())
    if not found:
        return None
    return float(found[1]) * (1e-3 if found[2] == "ms" else 1.0) or None


def read_grpc_timeout(text: str) -> float | None:
    """Seconds of gRPC's ``grpc-timeout`` (``250m`` are milliseconds); None if it is not one.

    Source: gRPC over HTTP/2, section Requests.
    """
    found = _GRPC.fullmatch(text.strip())
    return float(found[1]) * _GRPC_UNITS[found[2]] or None if found else None
