"""Arrow streams: what is read, and that nothing which they claim is believed."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from apps.gateway.forms import (
    ALL,
    ARROW,
    GOOD,
    MODEL,
    NUMBERS,
    arrow,
    arrow_stream,
    published,
)
from inference.harness import Harness, run

from windvane.apps.gateway.protocols.arrow_table import decode_arrow
from windvane.core.signature import FeatureSpec
from windvane.core.signature import FeatureType as T
from windvane.core.task import Contract, TaskSpec
from windvane.inference.errors import BadBody, BodyTooLarge, SchemaViolation


def one(kind: T, **more: Any) -> Contract:
    return Contract((FeatureSpec("f", "s", kind, **more),), TaskSpec("regression"))


def values(column: Any, kind: T, **more: Any) -> list[Any]:
    rows = decode_arrow(arrow_stream({"f": column}), one(kind, **more), 100).rows
    return [row[0] for row in rows]


@pytest.mark.parametrize(
    "kind",
    ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16",
     "float32", "float64"],
)  # fmt: skip
def test_numbers_of_every_type(kind: str) -> None:
    column = pa.array(np.array([1, 2, 3], kind))
    assert repr(values(column, T.NUMBER)) == "[1.0, 2.0, 3.0]"
    assert repr(values(column, T.INTEGER)) == "[1, 2, 3]"
    assert repr(values(column.slice(1), T.INTEGER)) == "[2, 3]"
    nulls = pa.array([1, None, 3], column.type) if kind != "float16" else column
    assert values(nulls, T.INTEGER, nullable=True)[2] == 3
    listed = pa.FixedSizeListArray.from_arrays(column, 3)
    assert values(listed, T.VECTOR, length=3) == [[1.0, 2.0, 3.0]]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_of_every_unit_and_zone(unit: str) -> None:
    when = [datetime(2026, 11, 28, 12, tzinfo=UTC), None, datetime(1901, 1, 1, tzinfo=UTC)]
    for zone in ("UTC", "Europe/Berlin", "+05:30"):
        column = pa.array(when, pa.timestamp(unit, tz=zone))
        found = values(column, T.DATETIME, nullable=True)
        assert found == [None if one is None else one.timestamp() for one in when]
    with pytest.raises(SchemaViolation, match="no zone"):
        values(pa.array(when, pa.timestamp(unit)), T.DATETIME, nullable=True)


def test_texts_pictures_and_dictionaries() -> None:
    texts = ["a", None, "ü", "a"]
    for kind in (pa.string(), pa.large_string()):
        column = pa.array(texts, kind)
        assert values(column, T.TEXT, nullable=True) == texts
        assert values(column.dictionary_encode(), T.CATEGORY, nullable=True) == texts
    for kind in (pa.binary(), pa.large_binary()):
        assert values(pa.array([b"\xff", b""], kind), T.IMAGE) == [b"\xff", b""]
    assert values(pa.array([2, 1]).dictionary_encode(), T.NUMBER) == [2.0, 1.0]
    assert values(pa.array([True, False]), T.BOOLEAN) == [True, False]
    assert values(pa.nulls(2), T.TEXT, nullable=True) == [None, None]
    with pytest.raises(SchemaViolation, match="may not be null"):
        values(pa.array([1.0, float("nan")]).dictionary_encode(), T.NUMBER)


def test_several_batches_are_one_table() -> None:
    sink = pa.BufferOutputStream()
    kinds = pa.schema([("f", pa.dictionary(pa.int32(), pa.string())), ("unit", pa.string())])
    with pa.ipc.new_stream(sink, kinds) as writer:
        for words in (["a", "b"], ["c"]):
            batch = pa.record_batch([pa.array(words).dictionary_encode(), pa.array(words)], kinds)
            writer.write_batch(batch)
    found = decode_arrow(sink.getvalue().to_pybytes(), one(T.TEXT), 3)
    assert (found.rows, found.units) == ([("a",), ("b",), ("c",)], ["a", "b", "c"])
    with pytest.raises(BodyTooLarge, match="3 rows, 2 allowed"):
        decode_arrow(sink.getvalue().to_pybytes(), one(T.TEXT), 2)


def test_columns_are_checked_like_rows() -> None:
    with pytest.raises(SchemaViolation, match="unknown feature 'g'"):
        decode_arrow(arrow_stream({"f": pa.array([1.0]), "g": pa.array([1])}), one(T.NUMBER), 9)
    table = pa.record_batch([pa.array([1.0])] * 2, names=["f", "f"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_batch(table)
    with pytest.raises(BadBody, match="'f' is there twice"):
        decode_arrow(sink.getvalue().to_pybytes(), one(T.NUMBER), 9)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([{"a": 1}]),
        pa.array([[[1.0]]]),
        pa.array([["a"]]),
        pa.array(["a"], pa.string_view()),
        pa.array([datetime(2026, 1, 1).date()]),
        pa.array([None], pa.duration("s")),
        pa.RunEndEncodedArray.from_arrays([1], [1.0]),
    ],
    ids=lambda column: str(column.type),
)  # fmt: skip
def test_other_types_are_refused_by_name(column: Any) -> None:
    with pytest.raises(BadBody, match="column 'f' has the type"):
        decode_arrow(arrow_stream({"f": column}), one(T.NUMBER), 9)


def test_a_body_is_not_blown_up() -> None:
    plain = arrow_stream({"f": pa.array([1.0] * 50)})
    batch = pa.record_batch({"f": pa.array([1.0] * 50)})
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    with pytest.raises(BadBody, match="compressed buffers"):
        decode_arrow(sink.getvalue().to_pybytes(), one(T.NUMBER), 99)
    with pytest.raises(BadBody, match="bytes behind the end"):
        decode_arrow(plain + b"x" * 8, one(T.NUMBER), 99)
    with pytest.raises(BadBody, match="no schema"):
        decode_arrow(b"", one(T.NUMBER), 99)
    with pytest.raises(BadBody, match="metadata has 2,147,483,647 bytes"):
        decode_arrow(struct.pack("<Ii", 0xFFFFFFFF, 2**31 - 1) + plain, one(T.NUMBER), 99)
    with pytest.raises(BadBody, match="no rows"):
        decode_arrow(arrow_stream({"f": pa.array([], pa.float64())}), one(T.NUMBER), 99)
    words = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000, pa.int32()), ["x" * 70_000])
    with pytest.raises(BodyTooLarge, match="once its dictionaries are resolved"):
        decode_arrow(arrow_stream({"f": words}), one(T.TEXT), 1_000)
    many = {f"f{i}": pa.array([1.0]) for i in range(50)}
    with pytest.raises(BadBody, match="50 columns for 1 features"):
        decode_arrow(arrow_stream(many), one(T.NUMBER), 9)


def _damaged(body: bytes, dice: random.Random) -> bytes:
    held = bytearray(body)
    for _ in range(dice.choice([1, 1, 2, 5])):
        at = dice.randrange(len(held))
        match dice.randrange(6):
            case 0:
                held[at] = dice.randrange(256)
            case 1:
                held[at] ^= 1 << dice.randrange(8)
            case 2:
                held[at : at + 4] = dice.choice([b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0" * 4])
            case 3:
                held[at : at + 8] = dice.choice([b"\xff" * 7 + b"\x7f", b"\xff" * 8])
            case 4:
                del held[at + 1 :]
            case _:
                held[at:at] = bytes(dice.randrange(256) for _ in range(dice.randrange(1, 9)))
    return bytes(held)


def test_damaged_streams_are_refused_and_nothing_else_happens() -> None:
    """In a process of its own: what is feared is a crash."""
    told = textwrap.dedent("""
        import random, resource
        from apps.gateway.test_arrow import _damaged, damage_cases
        from windvane.apps.gateway.protocols.arrow_table import decode_arrow
        from windvane.inference.errors import Rejection
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
        dice = random.Random(7)
        refused = 0
        cases = damage_cases()
        for i in range(6_000):
            contract, body = cases[i % len(cases)]
            try:
                decode_arrow(_damaged(body, dice), contract, 100)
            except Rejection as error:
                assert error.content_at_fault, error
                refused += 1
        print(refused)
    """)
    done = subprocess.run(
        [sys.executable, "-c", told], capture_output=True, text=True, timeout=120, check=False,
        env={"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 4_000


def damage_cases() -> list[tuple[Contract, bytes]]:
    rows = [GOOD, {**GOOD, "number": 3.0, "text": "hé"}, {**GOOD, "category": "bike"}]
    lists = pa.array([[1.0, 2.0]] * 3, pa.list_(pa.float32()))
    return [
        (ALL, arrow(ALL, rows, ["a", "", "b"]).body),
        (NUMBERS, arrow_stream({"a": pa.array([1.0]), "b": pa.array([None], pa.float64())})),
        (one(T.VECTOR, length=2), arrow_stream({"f": lists})),
    ]


def test_a_gateway_that_reads_and_writes_arrow_loads_no_pandas() -> None:
    sent = arrow(ALL, [GOOD, GOOD], ["u", ""]).body
    specs = [(spec.name, spec.type.value, spec.length) for spec in ALL.features]
    told = textwrap.dedent(f"""
        import sys
        from windvane.apps.gateway.protocols.arrow_table import decode_arrow, encode_arrow
        from windvane.core.signature import FeatureSpec, FeatureType
        from windvane.core.task import Contract, TaskSpec, make_task
        from windvane.inference.request import Route

        assert "pyarrow" not in sys.modules
        specs = [FeatureSpec(n, "s", FeatureType(t), length=k) for n, t, k in {specs!r}]
        contract = Contract(tuple(specs), TaskSpec("multiclass", classes=("a", "b")))
        assert len(decode_arrow({sent!r}, contract, 10).rows) == 2

        class Response:
            class served:
                task = make_task(contract.task)
            id, model = "id", "m"
            routes = [Route("1", "1", "champion")]
            outputs = [([0.5, 0.5],)]

        assert encode_arrow(Response)
        assert "pyarrow" in sys.modules
        assert "pandas" not in sys.modules
    """)
    done = subprocess.run(
        [sys.executable, "-c", told], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_what_comes_back_is_an_arrow_stream_only_if_it_is_asked_for() -> None:
    async def story(harness: Harness) -> None:
        await published(harness, NUMBERS)
        body = arrow_stream({"a": pa.array([1.0]), "c": pa.array([2])})
        path = f"/v1/models/{MODEL}/predict"
        kinds = {}
        for accept in ("*/*", "application/json", ARROW, f"text/html, {ARROW};q=0.5", "text/csv"):
            headers = {"content-type": ARROW, "accept": accept}
            answer = await harness.call("POST", path, body, headers=headers)
            assert answer.status == 200
            kinds[accept] = answer.headers["content-type"]
        assert list(kinds.values()) == ["application/json"] * 2 + [ARROW] * 2 + ["text/csv"]

    run(story)
