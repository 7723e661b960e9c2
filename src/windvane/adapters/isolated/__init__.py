"""Versions whose files can run code, each in a process of its own."""

from windvane.adapters.isolated.process import Limits
from windvane.adapters.isolated.runtime import IsolatedRuntime

__all__ = ["IsolatedRuntime", "Limits"]
