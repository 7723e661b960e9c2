"""`windvane.check`: two tables in a notebook, by the judges of the platform."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from windvane.ports.frames import BadFrame, Frame
from windvane.usecases.check_frames import CheckOptions, CheckReport, check_frames
from windvane.usecases.read_model_file import ModelFile, read_model_file
from windvane.usecases.report_check import check_html, check_json


class Checked:
    """What was found. In a notebook it shows itself; ``report`` has all of it."""

    def __init__(self, report: CheckReport) -> None:
        self.report = report

    @property
    def outcome(self) -> str:
        """``pass``, ``fail``, ``hold`` (too few rows to tell) or ``error``."""
        return self.report.verdict.outcome.value

    def to_dict(self) -> dict[str, Any]:
        """As `windvane check --json` prints it."""
        return check_json(self.report)

    def to_html(self) -> str:
        """As `windvane check --html` writes it."""
        return check_html(self.report)

    def __repr__(self) -> str:
        found = self.report.verdict
        return f"windvane.check: {self.outcome} {found.code} {found.sentence}"

    def _repr_html_(self) -> str:
        import html

        # A page of its own: its style stays in it.
        page = html.escape(self.to_html(), quote=True)
        return f'<iframe srcdoc="{page}" style="width:100%;height:720px;border:0"></iframe>'


def check(
    reference: Any,
    current: Any,
    *,
    time: str = "",
    segment: str | Sequence[str] = (),
    label: str = "",
    prediction: str = "",
    config: str | os.PathLike[str] | None = None,
    alpha: float = 0.05,
) -> Checked:
    """Compare ``current`` with ``reference``: paths (Parquet, CSV, a folder of Parquet, a Delta
    table), pandas or polars DataFrames, or Arrow tables. ``config``: the path of a model's file;
    the others are the options of `windvane check`. Raises BadFrame, BadModelFile."""
    if not 0.0 < alpha <= 0.5:
        raise BadFrame(f"alpha is {alpha:g}, from 0 to 0.5 it may be", hint="0.05 is usual")
    segments = (segment,) if isinstance(segment, str) else tuple(segment)
    options = CheckOptions(
        time, tuple(s for s in segments if s), label, prediction, alpha, _file(config)
    )
    frames = _frame(reference, "reference"), _frame(current, "current")
    return Checked(check_frames(*frames, options))


def _file(path: str | os.PathLike[str] | None) -> ModelFile | None:
    if path is None:
        return None
    try:
        return read_model_file(Path(path).expanduser().read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise BadFrame(f"config: {os.fspath(path)} cannot be read: {error}") from error


def _frame(given: Any, place: str) -> Frame:
    from windvane.read.wiring import frame_of, open_frame

    if isinstance(given, str | os.PathLike):
        return open_frame(Path(given).expanduser())
    return frame_of(given, place)


__all__ = ["BadFrame", "Checked", "check"]
