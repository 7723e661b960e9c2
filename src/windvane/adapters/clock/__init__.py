"""Clocks: the system's, and one that a driver moves for every process of a machine."""

from windvane.adapters.clock.clocks import DrivenClock, SystemClock, open_clock

__all__ = ["DrivenClock", "SystemClock", "open_clock"]
