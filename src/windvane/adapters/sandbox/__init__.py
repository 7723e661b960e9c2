"""Versions whose files can run code, each in a process of its own."""

from windvane.adapters.sandbox.limits import Limits
from windvane.adapters.sandbox.runtime import SandboxRuntime

__all__ = ["Limits", "SandboxRuntime"]
