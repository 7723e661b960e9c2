"""Windvane: serve models to many tenants and keep them healthy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from windvane.read.reader import read as read

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`windvane.read` on demand: nobody else should wait for what it imports."""
    if name == "read":
        import importlib

        return importlib.import_module("windvane.read")
    raise AttributeError(f"module 'windvane' has no attribute {name!r}")
