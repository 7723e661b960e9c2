"""Files of predictions that were made elsewhere, told to a gateway worker on a real socket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from client.serving import Served, served
from inference.harness import ACME, WITHIN_S, Harness, route

from windvane.apps.cli.import_events import BadEventsFile, Columns, Imported, import_file
from windvane.client import Client
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.task import Contract, TaskSpec
from windvane.ports.events import Predicted

NOW = 1_700_000_000.0
CONTRACT = Contract(
    (
        FeatureSpec("size", "v", FeatureType.NUMBER, low=0.0, nullable=True),
        FeatureSpec("code", "v", FeatureType.CATEGORY),
        FeatureSpec("yes", "v", FeatureType.BOOLEAN, nullable=True),
    ),
    TaskSpec("binary"),
)


@pytest.fixture
def gateway() -> Iterator[Served]:
    async def publish(harness: Harness) -> None:
        await harness.publish(route(contract=CONTRACT), keys=(ACME,))

    with served(publish, max_body=1 << 20) as found:
        yield found


def predicted(gateway: Served) -> list[Predicted]:
    return [e for e in gateway.harness.spool.events if isinstance(e, Predicted)]


def imported(gateway: Served, path: Path, columns: Columns, batch: int = 100) -> Imported:
    with Client(gateway.url, "wv_acme", deadline=WITHIN_S) as client:
        (model,) = client.models()
        state = Imported()
        for state in import_file(client, "late", path, columns, model.features, batch):
            assert 0 <= state.position <= state.size
        return state


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_texts_become_what_the_model_declares_and_not_what_they_look_like(
    gateway: Served, tmp_path: Path
) -> None:
    path = write(
        tmp_path / "past.csv", "order,when,size,code,yes,p,who",
        f"1,{NOW - 60},2.50,01,yes,0.25,u1", "2,2023-11-14T22:13:00Z,,1,F,0.5,", "3,,3,0x10,,1,u3",
    )  # fmt: skip
    state = imported(gateway, path, Columns("order", {"": "p"}, time="when", unit="who"))
    assert (state.sent, state.refused, state.problems) == (3, 0, [])
    told = [(e.request_id, e.ts, list(e.features), e.outputs, e.units) for e in predicted(gateway)]
    assert told == [
        ("1", NOW - 60.0, [2.5, "01", True], [0.25], "u1"),
        ("2", NOW - 20.0, [None, "1", False], [0.5], ""),
        ("3", NOW, [3.0, "0x10", None], [1.0], "u3"),
    ]


def test_bad_rows_are_told_and_stop_no_other(gateway: Served, tmp_path: Path) -> None:
    lines = [f"{i},{i},van,0.5" for i in range(250)]
    lines[7] = "7,-1,van,0.5"  # out of range: the gateway says so
    lines[99] = "99,far,van,0.5"  # no number: the file's reader says so
    lines[120] = "120,1,van,1.5"
    lines[249] = "249,1,van,"
    path = write(tmp_path / "past.csv", "id,size,code,p,yes", *lines)
    state = imported(gateway, path, Columns("id", {"probability": "p"}))
    assert (state.sent, state.refused) == (246, 4)
    assert [message.split(":")[0] for message in state.problems] == [
        "row 100",
        "row 8",
        "row 121",
        "row 250",
    ]
    assert len({e.event_id for e in predicted(gateway)}) == 246


def test_the_same_file_again_makes_the_same_events(gateway: Served, tmp_path: Path) -> None:
    path = write(tmp_path / "past.csv", "id,size,code,yes,p", "1,1,van,,0.5", "2,1,van,,0.5")
    for _ in range(2):
        imported(gateway, path, Columns("id", {"": "p"}))
    ids = [e.event_id for e in predicted(gateway)]
    assert ids[:2] == ids[2:]


def test_parquet_keeps_its_types(gateway: Served, tmp_path: Path) -> None:
    path = tmp_path / "past.parquet"
    table: dict[str, Sequence[Any]] = {
        "id": [1, 2], "size": [1.5, None], "code": ["01", "x"], "yes": [True, None],
        "p": [0.25, 0.5], "ms": [12, 3], "other": [1, 2],
    }  # fmt: skip
    pq.write_table(pa.table(table), path)
    state = imported(gateway, path, Columns("id", {"": "p"}, latency_ms="ms"), batch=1)
    assert (state.sent, state.position) == (2, state.size)
    first, second = predicted(gateway)
    assert (list(first.features), first.latency_us) == ([1.5, "01", True], 12_000)
    assert list(second.features) == [None, "x", None]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.csv", None, "no file"),
        ("past.csv", b"id,size,cod,yes,p\n", "did you mean 'cod'"),
        ("past.csv", b"", "no column"),
        ("past.csv", b"id,size,code,yes,p\n1,1,\xff\xfe,,0.5\n", "cannot be read"),
        ("past.csv", b'id,size,code,yes,p\n1,1,"van"x,,0.5\n', "cannot be read"),
        ("past.parquet", b"PAR1 is what it begins with", "cannot be read"),
    ],
)
def test_a_file_that_is_none_is_an_error_with_its_name(
    gateway: Served, tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadEventsFile, match=said) as raised:
        imported(gateway, path, Columns("id", {"": "p"}))
    assert name in raised.value.message
    assert not predicted(gateway)


def test_by_command(gateway: Served, tmp_path: Path) -> None:
    path = write(
        tmp_path / "past.csv", "id,size,code,yes,probability", "1,1,van,,0.5", "2,-1,van,,0.5"
    )

    def run(*words: str, key: str = "wv_acme") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "windvane.apps.cli.main", "import-events", *words,
             "--url", gateway.url, "--output", "probability", "--home", str(tmp_path)],
            env={**os.environ, "WINDVANE_API_KEY": key}, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip

    done = run("late", str(path), "--json")
    assert (done.returncode, json.loads(done.stdout)["sent"]) == (1, 1), done.stderr
    done = run("late", str(path))
    assert "1 predictions sent, 1 refused" in done.stdout
    assert "row 2: CON-103 size" in done.stderr
    done = run("lite", str(path))
    assert done.returncode == 1
    assert "did you mean 'late'" in done.stderr
    done = run("late", str(path), key="wv_wrong")
    assert (done.returncode, "GAT-101" in done.stderr) == (1, True)
    assert "wv_wrong" not in done.stderr
    assert len(predicted(gateway)) == 2
