"""`windvane labels`: the commands of the page, with a person who fills in the file."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
import time
from pathlib import Path
from typing import Any

import docs.documented as d
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from event_rows import predicted_event
from typer.testing import CliRunner

from windvane.adapters.delta import DeltaEventLog
from windvane.adapters.sql import SqlControlStore
from windvane.apps.cli.main import app
from windvane.core.sketch import Layout, NumericAxis
from windvane.ports.control_store import Deployment, ModelRecord, VersionRecord
from windvane.ports.event_log import LogEntry
from windvane.usecases.read_model_file import read_model_file

MODEL = "order-late"
TEXT = (d.DOCS.parent / "examples" / "first-model" / "model.yaml").read_text()
ROWS = 3_000
pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")


@pytest.fixture
def home(tmp_path: Path, migrated_file: Path) -> Path:
    """A day of probabilities that are right; a client's ids are what a spreadsheet would run."""
    folder = tmp_path / "home"
    folder.mkdir(0o700)
    (folder / "windvane.yaml").touch(0o600)
    shutil.copy(migrated_file, folder / "control.db")
    store = SqlControlStore(f"sqlite:///{folder / 'control.db'}")
    layout = Layout((NumericAxis("output", (0.5,)),))
    with store.begin() as tx:
        tx.put_model(ModelRecord(MODEL, TEXT, 0.0))
        tx.put_layout(layout)
        tx.add_version(VersionRecord(MODEL, "2", "", "", layout.id, (), {}, {}, b"", 0.0))
        tx.put_deployment(Deployment(MODEL, "2"))
    store.close()
    contract = read_model_file(TEXT).contract
    rng = np.random.default_rng(4)
    events = [
        predicted_event(
            f"=p{i}", time.time() - 86_400.0 + i, MODEL, "acme", contract.id,
            values=[1.0] * len(contract.features), outputs=[float(rng.beta(1.0, 2.0))],
            routed="2", answered="2", request_id=f"=1+{i}",
        )
        for i in range(ROWS)
    ]  # fmt: skip
    entries = [LogEntry("w", i, event) for i, event in enumerate(events)]
    DeltaEventLog(str(folder / "log")).append("w", ROWS, entries, {contract.id: contract})
    return folder


def call(home: Path, command: str | list[str]) -> Any:
    words = shlex.split(command) if isinstance(command, str) else command
    return CliRunner().invoke(app, [*words, "--home", str(home)], env={"COLUMNS": "200"})


def fill_in(path: Path) -> None:
    """As a person does in a spreadsheet."""
    rng = np.random.default_rng(8)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["label"] = str(int(rng.random() < float(row["outputs.probability"])))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_the_page_can_be_followed(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = d.page("howto/label-a-sample.md")
    draw, take = (found.split(" ", 1)[1] for found in re.findall(r"(?m)^windvane .*$", page))
    drawn = call(home, draw)
    assert drawn.exit_code == 0, drawn.output
    assert "of 3,000 predictions of version 2 are in to-label.csv" in drawn.stdout
    with (tmp_path / "to-label.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert abs(len(lines) - 400) < 80
    assert lines[0]["prediction_id"].startswith("'=p"), "no spreadsheet runs it"
    again = call(home, draw)
    assert again.exit_code == 1
    assert "perhaps with labels" in str(again.exception), "labels are not written over"
    fill_in(tmp_path / "to-label.csv")
    taken = call(home, take)
    assert taken.exit_code == 0, taken.output
    assert re.search(r"metric +of all, estimated +from +to", taken.stdout)
    for metric in ("AUC", "accuracy", "brier", "log_loss"):
        assert f"\n{metric} " in taken.stdout
    assert f"from {len(lines)} sampled labels by ana; 95% intervals" in taken.stdout
    found = json.loads(call(home, f"quality {MODEL} --since 7d --json").stdout)
    (line,) = found["quality"]
    assert (line["how"], line["version"], line["rows"]) == ("sampled labels", "2", len(lines))
    assert line["lower"] < line["value"] < line["upper"]
    shown = call(home, f"quality {MODEL} --since 7d").stdout
    assert f"{line['lower']:.3f} to {line['upper']:.3f}" in shown
    assert "an estimate is no measurement" in shown
    once_more = json.loads(call(home, f"{take} --json").stdout)
    assert once_more["known"] is True
    assert once_more["facts"]["labelled"] == len(lines)


def test_what_is_wrong_is_on_the_line_that_an_editor_shows(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    head = "sample,prediction_id,row,inclusion_probability,label,note\n"
    path.write_text(f'{head}s,p,0,0.5,1,"one\ntwo"\n\ns,q,1,0.5,1,\ns,r,no,0.5,1,"a\nb"\n')
    given = ["labels", "import", MODEL, str(path), "--labelled-by", "ana"]
    assert "line 6: `row` and" in str(call(home, given).exception)
    table = pa.table({"sample": ["s", "s"], "prediction_id": ["p", "q"], "row": ["0", "no"],
                      "inclusion_probability": [0.5, 0.5], "label": ["1", "1"]})  # fmt: skip
    given[3] = str(tmp_path / "rows.parquet")
    pq.write_table(table, given[3])
    assert "row 2: `row` and" in str(call(home, given).exception), "a table has no lines"


def test_a_parquet_file_comes_back_too(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    done = call(home, ["labels", "sample", MODEL, "--rows", "300", "--since", "7d", "--output",
                       str(path), "--json"])  # fmt: skip
    told = json.loads(done.stdout)
    table = pq.read_table(path)
    assert table.num_rows == told["drawn"]
    assert set(table.column("sample").to_pylist()) == {told["sample"]}
    said = table.column("outputs.probability").to_pylist()
    labels = pa.array([str(int(p > 0.3)) for p in said])
    place = table.schema.get_field_index("label")
    pq.write_table(table.set_column(place, "label", labels), path)
    found = json.loads(
        call(home, ["labels", "import", MODEL, str(path), "--labelled-by", "bot", "--simulated",
                    "--json"]).stdout
    )  # fmt: skip
    assert found["facts"]["quality"]["value"] == pytest.approx(1.0)
    assert (found["verdict"]["outcome"], found["verdict"]["code"]) == ("hold", "OUT-432")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["sample", MODEL, "--rows", "5", "--output", "x.txt"], 1, "neither .csv nor .parquet"),
        (["sample", MODEL, "--rows", "5", "--output", "x.csv", "--by", "luck"], 2, "--by: 'luck'"),
        (["sample", MODEL, "--rows", "5", "--output", "x.csv", "--since", "soon"], 2, "--since:"),
        (["import", MODEL, "x.csv", "--labelled-by", "ana"], 1, "no file x.csv"),
        (["import", MODEL, "odd.csv", "--labelled-by", "ana"], 1, "no column 'row'"),
        (["import", MODEL, "few.csv", "--labelled-by", "ana"], 1, "line 2: `row` and"),
        (["import", MODEL, "other.csv", "--labelled-by", "ana"], 1, "no sample 'nobody'"),
        (["import", MODEL, "other.csv", "--labelled-by", " "], 1, "--labelled-by names"),
    ],
)
def test_what_is_wrong_is_named(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], status: int,
    said: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    head = "sample,prediction_id,row,inclusion_probability,label\n"
    Path("odd.csv").write_text("sample,prediction_id,label\na,b,1\n")
    Path("few.csv").write_text(f"{head}nobody,p,first,0.5,1\n")
    Path("other.csv").write_text(f"{head}nobody,p,0,0.5,1\n")
    done = call(home, ["labels", *words])
    assert done.exit_code == status
    assert said in f"{done.output}{done.exception}"
