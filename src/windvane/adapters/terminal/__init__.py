"""What people see in a terminal, and in what a pipe takes from it."""

from windvane.adapters.terminal.console import (
    BROKEN_PIPE,
    INTERRUPTED,
    Output,
    ends_quietly,
    report_error,
)
from windvane.adapters.terminal.tables import Column, lay_out

__all__ = [
    "BROKEN_PIPE",
    "INTERRUPTED",
    "Column",
    "Output",
    "ends_quietly",
    "lay_out",
    "report_error",
]
