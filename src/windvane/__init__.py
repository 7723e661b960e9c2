"""Windvane: serve models to many tenants and keep them healthy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from windvane.read.checking import check as check
    from windvane.read.reader import read as read

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`windvane.read` and `windvane.check` on demand: nobody else should wait for what they
    import."""
    if name in ("read", "check"):
        import importlib

        if name == "read":
            return importlib.import_module("windvane.read")
        return importlib.import_module("windvane.read.checking").check
    raise AttributeError(f"module 'windvane' has no attribute {name!r}")
