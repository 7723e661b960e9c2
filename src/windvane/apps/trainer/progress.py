"""What a job prints while it works, and of what went wrong."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from windvane.apps.trainer.wiring import Output, ends_quietly, report_error
from windvane.core.errors import WindvaneError

out = Output()
_err = Output(stderr=True)


def run(work: Callable[[], None], subject: str, log: Path) -> int:
    """The exit status: our own errors are a sentence and a hint, others go to ``log`` with their
    trace. ``subject`` is what was worked on. Raises SystemExit where the work was interrupted."""
    try:
        with ends_quietly():
            work()
    except WindvaneError as error:
        report_error(_err, error)
        return 1
    except Exception as error:  # whatever a library may raise: its place is the log
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(traceback.format_exc())
        text = f"{subject}: {type(error).__name__}: {str(error)[:300]}"
        _err.print(text, style="red")
        _err.print(f"  hint: this is an error of ours; logs/{log.name} says where")
        return 1
    return 0


def print_notes(notes: Iterable[str], *, quiet: bool) -> None:
    """What a person should know of how the table was read."""
    for note in () if quiet else notes:
        _err.print(f"    {note}")


@contextmanager
def steps(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Shows what is being done: on a terminal with the time that it takes, else line by line."""
    if quiet:
        yield lambda _: None
        return
    if not _err.is_terminal:
        yield lambda step: _err.print(f"  {step} ...")
        return
    columns = (SpinnerColumn(finished_text="✓"), TextColumn("{task.description}", markup=False))
    with Progress(*columns, TimeElapsedColumn(), console=_err) as progress:

        def begin_step(step: str) -> None:
            _finish(progress)
            progress.add_task(step, total=1)

        yield begin_step
        _finish(progress)


def _finish(progress: Progress) -> None:
    for task in progress.tasks:
        if not task.finished:
            progress.update(task.id, completed=1)
