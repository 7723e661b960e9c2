"""``windvane labels``: rows for people to label, and what their labels say of all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from windvane.apps.cli import wiring
from windvane.apps.cli.options import AsJson, Home, ModelName, cli_actor, moment_before
from windvane.apps.cli.output import err, out, print_json

if TYPE_CHECKING:
    from windvane.usecases.import_labels import ImportedLabels

labels_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Have a sample of predictions labelled, and see what its labels say of all.",
)


@labels_app.command("sample")
def sample(
    model: ModelName,
    rows: Annotated[int, typer.Option(help="About how many rows are drawn.")],
    output: Annotated[Path, typer.Option(help="The file to write: .csv or .parquet, a new one.")],
    by: Annotated[
        str,
        typer.Option(help="`uniform`, `uncertainty` (the unsure ones more often), or `stratum`."),
    ] = "uniform",
    column: Annotated[
        str, typer.Option(help="What a stratum goes by: a category, or `tenant`.")
    ] = "",
    since: Annotated[
        str, typer.Option(help="`7d` ago or a time; the model's `drift_over` by default.")
    ] = "",
    until: Annotated[str, typer.Option(help="The same of the end; now by default.")] = "",
    version: Annotated[str, typer.Option(help="What answered; by default the champion.")] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Draw rows of the log for people to label, with known probabilities.

    The same span draws the same rows. Values that are tagged pii are hidden.
    """
    from windvane.apps.cli.label_files import check_output, write_sample
    from windvane.core.outcomes import Design
    from windvane.usecases.sample_labels import SampleRequest, sample_labels

    if by not in list(Design):
        raise typer.BadParameter(f"--by: {by!r} is none of {', '.join(Design)}")
    check_output(output)
    settings = wiring.settings(home)
    clock = wiring.clock(settings)
    now = clock.now()
    asked = SampleRequest(
        rows, Design(by), column,
        moment_before(since, "--since", now) if since else None,
        moment_before(until, "--until", now) if until else None,
        version,
    )  # fmt: skip
    store, log = wiring.store(settings), wiring.event_log(settings)
    with err.status("read the log"):
        drawn = sample_labels(store, log, clock, model, asked, cli_actor())
    write_sample(output, drawn)
    record = drawn.record
    if as_json:
        print_json({"sample": record.id, "output": str(output), **msgspec.to_builtins(record)})
        return
    out.print(
        f"{record.drawn:,} of {record.predictions:,} predictions of version {record.version} are "
        f"in {output}, sample {record.id}"
    )
    out.print("fill in the column `label`, then `windvane labels import`")


@labels_app.command("import")
def import_(
    model: ModelName,
    file: Annotated[Path, typer.Argument(help="What `labels sample` wrote, with labels.")],
    labelled_by: Annotated[str, typer.Option(help="Who labelled it, for the record.")],
    simulated: Annotated[
        bool,
        typer.Option(
            "--simulated", help="A machine made the labels: shown, and kept out of every verdict."
        ),
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What the labels of a sample say of all predictions that it was drawn from.

    Nothing acts on it: the estimate is recorded and shown. Importing the same labels again changes
    nothing; with more of them the estimate is made anew.
    """
    from windvane.apps.cli.label_files import read_labels
    from windvane.usecases.import_labels import import_labels

    settings = wiring.settings(home)
    store, log, clock = wiring.store(settings), wiring.event_log(settings), wiring.clock(settings)
    given = read_labels(file)
    with err.status("read the log"):
        found = import_labels(
            store, log, clock, model, given,
            labelled_by=labelled_by, simulated=simulated, actor=cli_actor(),
        )  # fmt: skip
    if as_json:
        print_json(found)
    else:
        _show(found)


def _show(found: ImportedLabels) -> None:
    from windvane.core.task import metric_name

    facts, verdict = found.facts, found.verdict
    missing = f"; missing: {verdict.missing}" if verdict.missing else ""
    out.print(f"{verdict.outcome}  {verdict.code}  {verdict.sentence}{missing}")
    whole = None if facts.quality.missing else facts.quality
    rows = [] if whole is None else [(whole.metric, whole.value, whole.lower, whole.upper)]
    rows += [
        (name, one.value, one.lower, one.upper)
        for name, one in facts.metrics.items()
        if whole is None or name != whole.metric
    ]
    out.print()
    out.table(
        [
            wiring.Column("metric", whole=True), wiring.Column("of all, estimated", right=True),
            wiring.Column("from", right=True), wiring.Column("to", right=True),
        ],
        [[metric_name(n), f"{v:.4g}", f"{low:.4g}", f"{high:.4g}"] for n, v, low, high in rows],
    )  # fmt: skip
    out.print(
        f"of {facts.predictions:,} predictions of version {facts.version}, from {facts.labelled:,} "
        f"sampled labels by {facts.labelled_by}{' (simulated)' if facts.simulated else ''}; 95% "
        "intervals"
    )
    if found.gone:
        out.print(f"{found.gone:,} labelled rows are in the log no more, and are left out")
    out.print(f"decision {found.decision}{', which was recorded before' if found.known else ''}")
