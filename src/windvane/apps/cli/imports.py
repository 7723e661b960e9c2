"""The command `import-events`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from windvane.apps.cli import wiring
from windvane.apps.cli.home import check_home
from windvane.apps.cli.options import AsJson, Home, ModelName, output_columns
from windvane.apps.cli.output import err, out, print_json
from windvane.core.errors import did_you_mean


def import_events(
    model: ModelName,
    file: Annotated[Path, typer.Argument(help="CSV or Parquet, a row for each prediction.")],
    id: Annotated[  # noqa: A002 - the option's name
        str, typer.Option(help="The column that names each prediction; a repetition is one event.")
    ] = "id",
    output: Annotated[
        list[str] | None,
        typer.Option(help="The column with the output, or NAME=COLUMN for each of the task's."),
    ] = None,
    time: Annotated[
        str, typer.Option(help="The column of when it was made: RFC 3339 or seconds.")
    ] = "",
    unit: Annotated[str, typer.Option(help="The column that evidence is counted by.")] = "",
    version: Annotated[
        str, typer.Option(help="The column of the version; the champion by default.")
    ] = "",
    latency_ms: Annotated[str, typer.Option(help="The column of how long it took.")] = "",
    url: Annotated[str, typer.Option(help="The gateway's address; this home's by default.")] = "",
    batch: Annotated[int, typer.Option(min=1, help="Rows of a request.")] = 1_000,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Tell a gateway of predictions that were made elsewhere, from a file.

    Options name columns; each feature has a column of its own name. The key comes from
    `$WINDVANE_API_KEY` and has the scopes `events` and `read`. Bad rows are counted and shown, and
    stop no other (then the exit status is 1); sending the same file again does no harm.
    """
    from windvane.apps.cli.import_events import Columns, Imported, import_file
    from windvane.client import ApiError, Client

    settings = wiring.settings(home)
    if not url:
        check_home(settings)  # its settings say where the gateway is
    columns = Columns(
        id, output_columns(output or ["output"]), time or None, unit or None, version or None,
        latency_ms or None,
    )  # fmt: skip
    where = url or f"{settings.scheme}://{settings.host}:{settings.port}"
    state = Imported()
    with Client(where, deadline=60.0, max_rows=batch) as client:
        known = {one.model: one for one in client.models()}
        if model not in known:
            raise ApiError(f"no model {model!r} is deployed", hint=did_you_mean(model, known))
        features = known[model].features
        with Progress(
            console=err, transient=True, disable=as_json or not err.is_terminal
        ) as progress:
            task = progress.add_task(file.name, total=None)
            try:
                for state in import_file(client, model, file, columns, features, batch):
                    progress.update(task, completed=state.position, total=state.size)
            except KeyboardInterrupt:
                progress.stop()
                err.print(
                    f"  stopped after {state.sent:,} predictions; the same command again sends "
                    "the rest, and none twice"
                )
                raise
    if as_json:
        print_json({"sent": state.sent, "refused": state.refused, "problems": state.problems})
    else:
        out.print(f"{model}: {state.sent:,} predictions sent, {state.refused:,} refused")
        for sentence in state.problems:
            err.print(f"  {sentence}")
    if state.refused:
        raise typer.Exit(1)
