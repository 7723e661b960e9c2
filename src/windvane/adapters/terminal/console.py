"""The two streams of a command, and how a command ends that was not to end by itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from rich.console import Console

from windvane.adapters.terminal.tables import Column, lay_out
from windvane.core.errors import WindvaneError

# 128 and the number of the signal, as shells have it: SIGINT is 2, SIGPIPE is 13.
INTERRUPTED = 130
BROKEN_PIPE = 141


class Output(Console):
    """A stream of plain sentences: brackets are no markup, and only a terminal's lines are
    wrapped. A reader that went away (``| head``) ends the process with BROKEN_PIPE."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, highlight=False, emoji=False)

    def print(self, *objects: Any, **how: Any) -> None:
        if not self.is_terminal:
            how.setdefault("soft_wrap", True)
        super().print(*objects, **how)

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        """Rows under their titles; see `lay_out`."""
        first, *lines = lay_out(columns, rows, self.width if self.is_terminal else None)
        self.print(first, style="bold", soft_wrap=True)
        for line in lines:
            self.print(line, soft_wrap=True)

    def on_broken_pipe(self) -> None:
        _end_of_pipe()


@contextmanager
def ends_quietly() -> Iterator[None]:
    """Ctrl-C, and a reader that went away, end the process with a status and no trace."""
    try:
        yield
        sys.stdout.flush()
    except KeyboardInterrupt:
        with suppress(OSError):
            sys.stdout.flush()
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        _end_of_pipe()


def report_error(out: Console, error: WindvaneError) -> None:
    """Its code, sentence and hint, and the command that explains the code."""
    out.print(f"{error.code} {error.message}", style="red")
    if error.advice:
        out.print(f"  hint: {error.advice}")
    out.print(f"  more: windvane explain-code {error.code}")


def _end_of_pipe() -> None:
    # What is still buffered would fail again as the interpreter ends.
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    raise SystemExit(BROKEN_PIPE) from None
