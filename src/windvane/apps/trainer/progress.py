"""What a job says while it works, and of what went wrong."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from windvane.core.errors import WindvaneError

_err = Console(stderr=True, highlight=False)


def run(work: Callable[[], None], about: str, log: Path) -> int:
    """The exit status: our own errors are a sentence and a hint, others go to ``log`` with their
    trace. ``about`` is what was worked on."""
    try:
        work()
    except WindvaneError as error:
        _err.print(f"{error.code} {error.message}", style="red", markup=False)
        if error.advice:
            _err.print(f"  hint: {error.advice}", markup=False)
        return 1
    except Exception as error:  # whatever a library may raise: its place is the log
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(traceback.format_exc())
        said = f"{about}: {type(error).__name__}: {str(error)[:300]}"
        _err.print(said, style="red", markup=False)
        _err.print(f"  hint: this is an error of ours; logs/{log.name} says where", markup=False)
        return 1
    return 0


def notes(given: Iterable[str], *, quiet: bool) -> None:
    """What a person should know of how the table was read."""
    for note in () if quiet else given:
        _err.print(f"    {note}", markup=False)


@contextmanager
def steps(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Says what is being done: on a terminal with the time that it takes, else line by line."""
    if quiet:
        yield lambda _: None
        return
    if not _err.is_terminal:
        yield lambda step: _err.print(f"  {step} ...", markup=False)
        return
    columns = (SpinnerColumn(finished_text="✓"), TextColumn("{task.description}", markup=False))
    with Progress(*columns, TimeElapsedColumn(), console=_err) as progress:

        def say(step: str) -> None:
            _finish(progress)
            progress.add_task(step, total=1)

        yield say
        _finish(progress)


def _finish(progress: Progress) -> None:
    for task in progress.tasks:
        if not task.finished:
            progress.update(task.id, completed=1)
