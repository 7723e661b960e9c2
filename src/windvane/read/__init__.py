"""Read what an installation has seen and done, as pandas DataFrames.

    import windvane

    w = windvane.read("/srv/windvane")                              # a home on this machine
    w = windvane.read("http://windvane.internal:8701", key="wv_…")  # a console
    w.predictions("flight-delay", since="7d")

Reads only, of a home while it is in use or while it is not.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from windvane.read.reader import Reader, ReadFailed, read

__all__ = ["ReadFailed", "Reader", "read"]


class _Callable(ModuleType):
    """``windvane.read`` is this package, and what one calls."""

    def __call__(self, *given: Any, **named: Any) -> Reader:
        return read(*given, **named)


sys.modules[__name__].__class__ = _Callable
