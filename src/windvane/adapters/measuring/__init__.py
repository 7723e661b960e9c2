"""Versions measured in fresh processes of the gateway's own code."""

from windvane.adapters.measuring.processes import MeasuringProcesses

__all__ = ["MeasuringProcesses"]
