"""A home and its console give the same tables, to each key what is its own."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from read.home import ACME, ADMIN, OTHER, START

import windvane
from windvane.read import Reader, ReadFailed
from windvane.read.reader import IncompleteTable
from windvane.usecases.read_history import TABLES


@pytest.fixture(params=["home", "console"])
def reader(request: pytest.FixtureRequest, home: Path) -> Reader:
    if request.param == "home":
        return windvane.read(home)
    return windvane.read(request.getfixturevalue("url"), key=ADMIN)


def times(frame: pd.DataFrame, name: str) -> list[float]:
    return [one.timestamp() - START for one in frame[name]]


def test_predictions_are_rows_with_columns_for_features_and_outputs(reader: Reader) -> None:
    found = reader.predictions("late")
    assert list(found["features.distance"]) == [float(i) for i in range(8)]
    assert list(found["outputs.probability"]) == [i / 10 for i in range(8)]
    assert list(found.columns[:3]) == ["ts", "tenant", "prediction_id"]
    assert str(found["ts"].dt.tz) == "UTC"
    assert set(found["version"]) == {"1"}
    part = reader.predictions("late", since=START + 2, until=START + 6, tenant="acme")
    assert times(part, "ts") == [3.0, 5.0]
    none = reader.predictions("late", since="2024-01-01")
    assert len(none) == 0
    assert "prediction_id" in none.columns


def test_outcomes_are_joined_by_our_id_or_the_clients_and_the_latest_holds(reader: Reader) -> None:
    found = reader.outcomes("late")
    assert list(found["prediction_id"]) == ["e1", "e3", "e4", "e5"]
    assert list(found["outcome"]) == [1.0, 0.0, 0.0, 1.0]
    assert times(found, "outcome_ts") == [20.0, 10.0, 9.0, 10.0]
    assert list(reader.outcomes("late", tenant="zeta")["prediction_id"]) == ["e4"]


def test_windows_are_whole_whatever_the_span(reader: Reader) -> None:
    found = reader.windows("late")
    assert len(found) == 400
    assert found["requests"].sum() == 2 * sum(3 + i for i in range(200))
    assert set(found["p99_ms"]) == {1.0}
    begin = START // 60 * 60
    part = reader.windows("late", since=begin + 60, until=begin + 180, tenant="acme")
    assert list(part["requests"]) == [4, 5]


def test_drift_has_every_look_in_the_order_of_time(reader: Reader) -> None:
    found = reader.drift("late")
    assert len(found) == 3 * 1_202, "more than a page of looks"
    assert (found["against"] == "training").sum() == 6
    assert found["start"].is_monotonic_increasing
    assert found.duplicated(["start", "against"]).sum() == 2 * 1_202
    begin = START // 60 * 60
    assert len(reader.drift("late", since=begin + 600, until=begin + 660)) == 3


def test_decisions_and_incidents_in_the_order_of_time(reader: Reader) -> None:
    found = reader.decisions("late")
    assert [s for s in found["sentence"] if s.startswith("number")] == [
        f"number {i}" for i in range(25)
    ]
    assert len(reader.decisions(since=START + 20)) == 5
    told = reader.incidents()
    assert list(told["title"]) == [f"title {i}" for i in range(25)]
    assert told["closed_at"].isna().sum() == 1


def test_models_are_shown_with_what_there_is_to_read(reader: Reader) -> None:
    (row,) = reader.models().to_dict("records")
    assert (row["model"], row["predictions"], row["outcomes"], row["open_incidents"]) == (
        "late", 8, 5, 1,
    )  # fmt: skip
    shown = repr(reader)
    assert "late (binary, 1 version, champion 1): 8 predictions, 5 outcomes" in shown
    assert "2023-11-14 22:13" in shown
    assert ADMIN not in shown
    page = reader._repr_html_()
    assert "<td>late</td>" in page
    assert ADMIN not in page


def test_a_table_that_is_cut_says_so(reader: Reader) -> None:
    with pytest.warns(IncompleteTable, match="5 rows are read"):
        assert list(reader.predictions("late", limit=5)["features.distance"]) == [0, 1, 2, 3, 4]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(reader.predictions("late", limit=9)) == 8


def test_pages_fit_together_whatever_their_size(url: str) -> None:
    headers = {"authorization": f"Bearer {ADMIN}"}
    for table in TABLES:
        sizes: dict[int, list[Any]] = {}
        for limit in (1, 3, 10_000):
            rows: list[Any] = []
            after = ""
            for _ in range(500):
                query = {"model": "late", "limit": limit, "after": after, "until": START + 3_000}
                page = httpx.get(f"{url}/api/read/{table}", params=query, headers=headers).json()
                rows += page["rows"]
                after = page["next"]
                if not after:
                    break
            sizes[limit] = sorted(rows, key=repr)
        assert sizes[1] == sizes[3] == sizes[10_000], table
        assert sizes[1], table


def test_a_tenants_key_reads_its_own_and_no_more(url: str) -> None:
    mine = windvane.read(url, key=ACME)
    assert set(mine.predictions("late")["tenant"]) == {"acme"}
    assert set(mine.outcomes("late")["tenant"]) == {"acme"}
    assert set(mine.windows("late")["tenant"]) == {"acme"}
    assert list(mine.models()["predictions"]) == [4]
    for asked in (
        lambda: mine.predictions("late", tenant="zeta"),
        lambda: mine.drift("late"),
        lambda: mine.decisions(),
        lambda: mine.incidents(),
    ):
        with pytest.raises(ReadFailed, match="CSL-104"):
            asked()
    other = windvane.read(url, key=OTHER)
    assert len(other.models()) == 0, "the model is not for this tenant"
    with pytest.raises(ReadFailed, match="STO-103"):
        other.predictions("late")


def test_what_cannot_be_read_is_said_in_a_sentence(url: str, home: Path, tmp_path: Path) -> None:
    with pytest.raises(ReadFailed, match="no installation"):
        windvane.read(tmp_path)
    with pytest.raises(ReadFailed, match="API key"):
        windvane.read(url)
    with pytest.raises(ReadFailed, match="CSL-103"):
        windvane.read(url, key="wv_nobody").models()
    with pytest.raises(ReadFailed, match="did not answer"):
        windvane.read("http://127.0.0.1:9", key="k").models()
    with pytest.raises(ReadFailed, match=r"RDR-103: http://127\.0\.0\.1:9 did"):
        windvane.read("http://ann:secret@127.0.0.1:9", key="k").models()
    with pytest.raises(ReadFailed, match="which is no time"):
        windvane.read(home).predictions("late", since="soon")
    with pytest.raises(ReadFailed, match=r"STO-103.*lat"):
        windvane.read(url, key=ADMIN).predictions("lat")


@pytest.mark.parametrize(
    ("table", "query", "status"),
    [
        ("predictions", {"model": "late", "after": "[1, 2]"}, 422),
        ("predictions", {"model": "late", "after": "{"}, 422),
        ("predictions", {"model": "late", "after": f'[{10**30}, "x", 0]'}, 422),
        ("windows", {"model": "late", "after": "NaN"}, 422),
        ("decisions", {"after": "-1"}, 422),
        ("predictions", {"model": "late", "limit": 10_001}, 422),
        ("predictions", {"model": "late", "since": "inf"}, 422),
        ("predictions", {}, 422),
        ("predictions", {"model": "nobody"}, 404),
    ],
)
def test_bad_questions_are_refused(
    url: str, table: str, query: dict[str, Any], status: int
) -> None:
    headers = {"authorization": f"Bearer {ADMIN}"}
    answer = httpx.get(f"{url}/api/read/{table}", params=query, headers=headers)
    assert answer.status_code == status, answer.text
    assert {"code", "message", "hint", "docs"} == answer.json().keys()


def test_importing_windvane_imports_nothing_of_it() -> None:
    code = (
        "import sys, windvane; before = set(sys.modules); "
        "assert 'httpx' not in before and not any(m.startswith('windvane.') for m in before); "
        "windvane.read; assert 'windvane.read' in sys.modules; assert 'pandas' not in sys.modules; "
        "from windvane.read import Reader; import windvane.read; assert callable(windvane.read)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_without_pandas_the_reader_says_what_is_missing(home: Path) -> None:
    code = (
        "import sys, importlib.abc\n"
        "class Missing(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'pandas': raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        f"import windvane; w = windvane.read({str(home)!r})\nprint(w)\nw.predictions('late')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert "8 predictions" in done.stdout
    assert "pandas is not installed" in done.stderr
