"""``windvane check``: is this table as that one was? Without a home, a server or a platform."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from windvane.apps.cli import wiring
from windvane.apps.cli.options import AsJson
from windvane.apps.cli.output import err, out, print_json
from windvane.core.errors import WindvaneError

if TYPE_CHECKING:
    from windvane.usecases.check_frames import CheckReport, OnStep

STATUSES = (
    "Exit status: 0 done and nothing found; 1 findings; 2 it could not be checked, or too few rows "
    "to tell, or not understood; 130 Ctrl-C."
)
_COULD_NOT = 2
_MOST_SHOWN = 40
_FEW = ("PSI", "nulls")
_WIDE = 140  # cells: in fewer, all sizes would leave no room for words


def check(
    reference: Annotated[
        Path,
        typer.Option(
            help="What it should be like: a Parquet or CSV file, a folder of Parquet files, or a "
            "Delta table."
        ),
    ],
    current: Annotated[Path, typer.Option(help="What is looked at, of the same kinds.")],
    time: Annotated[
        str, typer.Option(help="The column of the rows' time: also looks window by window.")
    ] = "",
    segment: Annotated[
        list[str] | None,
        typer.Option(help="A column by whose values windows are also watched; repeatable."),
    ] = None,
    label: Annotated[str, typer.Option(help="The column of the label, for quality.")] = "",
    prediction: Annotated[
        str, typer.Option(help="The column of the prediction, for quality.")
    ] = "",
    config: Annotated[
        Path | None,
        typer.Option(help="A model's file: which features, their sources, bands and least rows."),
    ] = None,
    alpha: Annotated[
        float,
        typer.Option(
            min=1e-6,
            max=0.5,
            help="With what probability anything is found where nothing changed.",
        ),
    ] = 0.05,
    as_json: AsJson = False,
    html: Annotated[
        Path | None, typer.Option(help="Also write one HTML file with pictures.")
    ] = None,
) -> None:
    """Compare a table with a reference by the judges of the platform, and without it.

    For cron and notebooks: no home, no server. What changed beyond chance and by what matters is a
    finding. With --time the reference's windows teach what is usual at which hour, and the current
    table is watched window by window; with --label and --prediction quality is compared too.
    """
    from windvane.usecases.check_frames import CheckOptions, check_frames
    from windvane.usecases.read_model_file import read_model_file
    from windvane.usecases.report_check import STATUSES as BY_VERDICT
    from windvane.usecases.report_check import check_html, check_json

    try:
        file = read_model_file(_text(config)) if config is not None else None
        options = CheckOptions(time, tuple(segment or ()), label, prediction, alpha, file)
        with _progress() as on_step:
            on_step("open the tables", 0, 1)
            frames = wiring.frame(reference), wiring.frame(current)
            report = check_frames(*frames, options, on_step)
        if html is not None:
            _write(html, check_html(report))
    except WindvaneError as error:
        wiring.report_error(err, error)
        raise typer.Exit(_COULD_NOT) from error
    except Exception as error:  # 1 says that something changed, which nobody knows
        err.print(f"could not be checked: {type(error).__name__}: {error}", style="red")
        raise typer.Exit(_COULD_NOT) from error
    if as_json:
        print_json(check_json(report))
    else:
        _show(report)
    raise typer.Exit(BY_VERDICT[report.verdict.outcome])


def _text(path: Path) -> str:
    from windvane.ports.frames import BadFrame

    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadFrame(
            f"--config: {path} cannot be read: {error}", hint="a model's YAML file"
        ) from (error)


def _write(path: Path, text: str) -> None:
    from windvane.ports.frames import BadFrame

    try:
        path.write_text(text)
    except OSError as error:
        raise BadFrame(
            f"--html: {path} cannot be written: {error.strerror}", hint="name another file"
        ) from error
    err.print(f"wrote {path}")


@contextmanager
def _progress() -> Iterator[OnStep]:
    """A line on a terminal that says what is being done, and how far it is."""
    with err.status("open the tables") as shown:

        def on_step(step: str, done: int, of: int) -> None:
            shown.update(f"{step} {done:,}/{of:,}" if of > 1 else step)

        yield on_step


def _is_narrow() -> bool:
    return out.is_terminal and out.width < _WIDE


def _show(report: CheckReport) -> None:
    from windvane.usecases.report_check import SIZES, size_words

    verdict = report.verdict
    style: Any = {"pass": "green", "fail": "red"}.get(verdict.outcome.value, "yellow")
    out.print(f"{report.current}: {report.rows[1]:,} rows, against {report.reference}: "
              f"{report.rows[0]:,} rows")  # fmt: skip
    shown = [SIZES.index(name) for name in (_FEW if _is_narrow() else SIZES)]
    columns = [
        wiring.Column("COLUMN", whole=True), wiring.Column("OUTCOME"), wiring.Column("BAND"),
        *(wiring.Column(SIZES[i], right=True) for i in shown), wiring.Column("P", right=True),
        wiring.Column("FROM, TO"),
    ]  # fmt: skip
    rows = [
        [
            one.name, one.outcome.value, one.band, *(size_words(one)[i] for i in shown),
            "" if one.sizes is None else f"{one.p:.2g}", one.sentence,
        ]
        for one in report.features[:_MOST_SHOWN]
    ]  # fmt: skip
    out.print()
    out.table(columns, rows)
    if len(report.features) > _MOST_SHOWN:
        out.print(f"and {len(report.features) - _MOST_SHOWN:,} more columns (--json has all)")
    if report.alarms:
        from windvane.usecases.monitors.base import moment

        out.print()
        out.table(
            [
                wiring.Column("SEVERITY"), wiring.Column("WHOM", whole=True),
                wiring.Column("SINCE"), wiring.Column("UNTIL"), wiring.Column("WHAT"),
            ],
            [
                [
                    one.severity, one.whom or "everyone", moment(one.since),
                    "goes on" if one.closed is None else moment(one.closed), one.title,
                ]
                for one in report.alarms[:_MOST_SHOWN]
            ],
        )  # fmt: skip
    out.print()
    if report.windows is not None:
        watched = report.windows
        out.print(
            f"windows: {watched.verdict.outcome.value} {watched.verdict.sentence} "
            f"({watched.window_s / 3600:g} h each, after {watched.learned} of the reference)"
        )
        unjudged = [one for one in watched.by_segment if one.outcome.value == "hold"]
        if unjudged:
            out.table(
                [
                    wiring.Column("SEGMENT", whole=True), wiring.Column("OUTCOME"),
                    wiring.Column("ROWS BEFORE", right=True), wiring.Column("NOW", right=True),
                    wiring.Column("WHY"), wiring.Column("MISSING"),
                ],
                [
                    [
                        one.name, one.outcome.value, f"{one.learned:,}", f"{one.rows:,}",
                        one.sentence, one.missing,
                    ]
                    for one in unjudged[:_MOST_SHOWN]
                ],
            )  # fmt: skip
        if watched.new:
            out.print(f"new segments: {', '.join(watched.new)}")
    if report.quality is not None:
        quality = report.quality.verdict
        out.print(f"quality: {quality.outcome.value} {quality.sentence}")
    for note in report.notes:
        out.print(f"note: {note}")
    out.print(f"{verdict.outcome.value} {verdict.code} {verdict.sentence}", style=style)
    if verdict.missing:
        out.print(f"  missing: {verdict.missing}")
