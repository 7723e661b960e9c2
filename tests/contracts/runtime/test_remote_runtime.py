"""Versions that another server runs: as they answer, as they fail, and as they are held to what
they were registered as."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from apps.gateway.test_http_protocol import until
from apps.gateway.test_http_tls import CHAIN, KEY, issue
from contracts.runtime.remote_server import RemoteServer, remote_server

from windvane.adapters.files import FileArtifacts
from windvane.adapters.open_inference import (
    OpenInferenceRuntime,
    describe_remote,
    read_remote,
)
from windvane.adapters.open_inference.remote import FILE, parse_address
from windvane.core.execution import (
    INPUTS_FILE,
    SERVED_FILE,
    BreakerPolicy,
    RuntimeName,
    ServedBy,
    TensorInput,
)
from windvane.core.signature import FeatureSpec, FeatureType, InputSpec, OutputMapping
from windvane.core.task import Contract, TaskSpec, make_task
from windvane.core.tracing import TraceContext
from windvane.inference.batching import NextTickBatcher
from windvane.inference.model_queue import ModelQueue
from windvane.ports.runtime import CannotLoad, RemotePredictor, RowsRefused, RuntimeFailed
from windvane.ports.tracing import CALLING, RequestTrace

NUMBERS = Contract(
    tuple(FeatureSpec(n, "v", FeatureType.NUMBER, nullable=True) for n in "abc"),
    TaskSpec("regression"),
)
SERVED = ServedBy(
    RuntimeName.OPEN_INFERENCE, FILE, "regression", (OutputMapping("value", "score"),),
    tensors=(TensorInput("x", "float32", (0, 1, 2)),),
)  # fmt: skip
INPUTS = [InputSpec(name) for name in "abc"]
ROWS = [(1.0, 2.0, 3.0), (10.0, None, 30.0), (-1.0, 0.5, 0.25)]
SUMS = [6.0, 40.0, -0.25]
SOON_S = 10.0


def load(
    server: RemoteServer,
    folder: Path,
    contract: Contract = NUMBERS,
    served: ServedBy = SERVED,
    inputs: Sequence[InputSpec] = INPUTS,
    authorization: str = "",
    secret: Callable[[str], str] = lambda _: "",
) -> RemotePredictor:
    """As a registration writes it, and a gateway loads it."""
    folder.mkdir(exist_ok=True)
    credential = secret(authorization) if authorization else ""
    describe_remote(server.address, folder, authorization, credential)
    (folder / INPUTS_FILE).write_bytes(msgspec.json.encode(inputs))
    (folder / SERVED_FILE).write_bytes(msgspec.json.encode(served))
    return reload(folder, contract, secret)


def reload(
    folder: Path,
    contract: Contract = NUMBERS,
    secret: Callable[[str], str] = lambda _: "",
    ca: Path | None = None,
) -> RemotePredictor:
    files = FileArtifacts()
    artifact = files.open(str(folder), files.seal(folder))
    loaded = OpenInferenceRuntime(secret, ca).load(artifact, contract, trusted=False)
    assert isinstance(loaded, RemotePredictor)
    return loaded


def run(predictor: RemotePredictor, story: Callable[[], Awaitable[Any]]) -> Any:
    async def told() -> Any:
        try:
            return await story()
        finally:
            predictor.close()
            await asyncio.sleep(0)  # what it leaves to the loop begins
            await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))

    with asyncio.Runner() as runner:
        found = runner.run(told())
    gc.collect()  # what was left open would say so
    return found


def ask(predictor: RemotePredictor, rows: Sequence[Sequence[Any]] = ROWS) -> list[float]:
    encoded = [predictor.encode(row) for row in rows]
    outputs = run(predictor, lambda: predictor.predict_async(encoded, SOON_S))
    return outputs[0].tolist()


def test_a_call_for_a_traced_request_names_its_span(tmp_path: Path) -> None:
    trace = RequestTrace(7, 9, 0, TraceContext(7, 8, True), b"vendor=1, other=2")
    with remote_server() as server:
        predictor = load(server, tmp_path)
        encoded = [predictor.encode(row) for row in ROWS]

        async def twice() -> None:
            await predictor.predict_async(encoded, SOON_S)
            CALLING.set(trace)
            await predictor.predict_async(encoded, SOON_S)

        run(predictor, twice)
        plain, traced = server.headers
        assert "traceparent" not in plain
        assert traced["traceparent"] == f"00-{7:032x}-{9:016x}-01"
        assert traced["tracestate"] == "vendor=1,other=2"


@pytest.mark.parametrize("binary", [True, False])
def test_rows_go_as_one_matrix(tmp_path: Path, binary: bool) -> None:
    rows = ROWS if binary else [row for row in ROWS if None not in row]
    with remote_server(binary=binary) as server:
        assert ask(load(server, tmp_path), rows) == [
            total for row, total in zip(ROWS, SUMS, strict=True) if row in rows
        ]
        (sent,) = server.seen
        assert sent["inputs"][0]["shape"] == [len(rows), 3]
        assert [one["name"] for one in sent["outputs"]] == ["score"]


@pytest.mark.parametrize("binary", [True, False])
def test_rows_go_as_a_tensor_a_feature(tmp_path: Path, binary: bool) -> None:
    contract = Contract(
        (
            FeatureSpec("amount", "v", FeatureType.NUMBER),
            FeatureSpec("count", "v", FeatureType.INTEGER),
            FeatureSpec("word", "v", FeatureType.TEXT),
            FeatureSpec("place", "v", FeatureType.VECTOR, length=2),
        ),
        TaskSpec("regression"),
    )
    shapes = {"amount": ("FP64", [-1]), "count": ("INT64", [-1, 1]), "word": ("BYTES", [-1]),
              "place": ("FP32", [-1, 2])}  # fmt: skip
    inputs = [{"name": n, "datatype": t, "shape": s} for n, (t, s) in shapes.items()]
    kinds = ("float64", "int64", "string", "float32")
    tensors = tuple(
        TensorInput(name, kind, (i,))
        for i, (name, kind) in enumerate(zip(shapes, kinds, strict=True))
    )
    rows = [(1.5, 2, "hello", [1.0, 2.0]), (0.0, -3, "", [0.5, 0.25])]
    with remote_server(inputs=inputs, binary=binary) as server:
        specs = [InputSpec(name) for name in shapes]
        served = replace(SERVED, tensors=tensors)
        assert ask(load(server, tmp_path, contract, served, specs), rows) == [11.5, -2.25]
        assert [one["shape"] for one in server.seen[0]["inputs"]] == [[2], [2, 1], [2], [2, 2]]


def test_no_more_rows_go_at_once_than_the_server_takes(tmp_path: Path) -> None:
    with remote_server() as server:
        load(server, tmp_path)
        held = json.loads((tmp_path / FILE).read_bytes())
        (tmp_path / FILE).write_text(json.dumps({**held, "max_rows": 2}))
        assert ask(reload(tmp_path), [*ROWS, *ROWS[:2]]) == [*SUMS, *SUMS[:2]]
        assert server.batches == [2, 2, 1]


def test_what_json_cannot_say_is_refused_and_not_sent(tmp_path: Path) -> None:
    with remote_server(binary=False) as server:
        with pytest.raises(RowsRefused, match="a value is missing, which JSON cannot say"):
            ask(load(server, tmp_path))
        assert server.seen == []


@pytest.mark.parametrize("failure", [503, 429])
def test_what_the_server_did_not_do_is_asked_again(tmp_path: Path, failure: Any) -> None:
    with remote_server(next=[failure, failure]) as server:
        assert ask(load(server, tmp_path)) == SUMS
        assert server.batches == [3, 3, 3]


def test_it_is_asked_three_times_at_most(tmp_path: Path) -> None:
    with remote_server(next=[503] * 4) as server:
        with pytest.raises(RuntimeFailed) as found:
            ask(load(server, tmp_path))
        assert not isinstance(found.value, RowsRefused)
        assert server.batches == [3, 3, 3]


def test_what_it_may_have_done_is_not_asked_again(tmp_path: Path) -> None:
    with remote_server(next=["close"]) as server:
        with pytest.raises(RuntimeFailed, match="gave no answer"):
            ask(load(server, tmp_path))
        assert server.batches == [3]


def test_a_pause_that_outlasts_the_deadline_is_not_waited_for(tmp_path: Path) -> None:
    with remote_server(next=[503], retry_after="60") as server:
        predictor = load(server, tmp_path)
        with pytest.raises(RuntimeFailed, match="answers 503"):
            run(predictor, lambda: predictor.predict_async([ROWS[0]], SOON_S))
        assert server.batches == [1]


def test_a_packed_answer_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    bomb = gzip.compress(gzip.compress(bytes(64 << 20)))
    with (
        remote_server(next=[bomb], encoding="gzip, gzip") as server,
        pytest.raises(RuntimeFailed, match="packs its answer"),
    ):
        ask(load(server, tmp_path))


@pytest.mark.parametrize("credential", ["Bearer one\nBearer two", "Bearer \u00e9"])
def test_a_credential_that_is_no_header_is_refused_without_its_words(
    tmp_path: Path, credential: str
) -> None:
    with remote_server() as server, pytest.raises(CannotLoad) as found:
        load(server, tmp_path, authorization="env:R", secret=lambda _: credential)
    assert "Bearer one" not in str(found.value)
    assert "no header's value" in str(found.value)


def test_who_asks_is_not_told_where_the_server_is(tmp_path: Path) -> None:
    with remote_server(next=[500]) as server, pytest.raises(RuntimeFailed) as found:
        ask(load(server, tmp_path))
    assert str(server.port) not in str(found.value)
    assert "not now" not in str(found.value)


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (500, RuntimeFailed, "its server answers 500"),
        (404, RuntimeFailed, "answers 404"),
        (400, RowsRefused, "answers 400"),
        (b"nonsense", RuntimeFailed, "the answer cannot be read"),
        (b'{"outputs": []}', RuntimeFailed, "no output 'score'"),
        (
            b'{"outputs": [{"name": "score", "datatype": "FP32", "shape": [2], "data": [1, 2]}]}',
            RuntimeFailed, "shape .2. for 3 rows",
        ),
        (
            b'{"outputs": [{"name": "score", "datatype": "FP32", "shape": [3], "data": [1, "a"]}]}',
            RuntimeFailed, "not what it says",
        ),
        (
            b'{"outputs": [{"name": "score", "datatype": "FP32", "shape": [3], %b}]}'
            % b'"parameters": {"binary_data_size": 12}',
            RuntimeFailed, "has 12 bytes, 0 came",
        ),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_asked_for_once(
    tmp_path: Path, answer: Any, kind: type[Exception], said: str
) -> None:
    with remote_server(next=[answer]) as server:
        with pytest.raises(kind, match=said):
            ask(load(server, tmp_path))
        assert server.batches == [3]


def test_a_call_ends_at_its_deadline(tmp_path: Path) -> None:
    with remote_server() as server:
        predictor = load(server, tmp_path)
        server.gate.clear()
        with pytest.raises(TimeoutError):
            run(predictor, lambda: predictor.predict_async([ROWS[0]], 0.1))
        # A pause between two tries is cut as well.
        server.gate.set()
        server.next = [503, 503, 503]
        with pytest.raises((TimeoutError, RuntimeFailed)):
            run(predictor, lambda: predictor.predict_async([ROWS[0]], 0.02))


def test_a_server_that_is_gone_is_named(tmp_path: Path) -> None:
    with remote_server() as server:
        predictor = load(server, tmp_path)
    with pytest.raises(RuntimeFailed, match="its server cannot be reached"):
        ask(predictor)
    with pytest.raises(CannotLoad, match="cannot be asked"):
        reload(tmp_path)


def test_a_version_is_held_to_what_it_was_registered_as(tmp_path: Path) -> None:
    with remote_server() as server:
        load(server, tmp_path)
        server.inputs = [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
        with pytest.raises(CannotLoad, match=r"x FP32 \[-1, 3\] when it was .* \[-1, 4\] now"):
            reload(tmp_path)
        server.ready = False
        with pytest.raises(CannotLoad, match="answers 503"):
            reload(tmp_path)
        server.ready, server.inputs = True, [{"name": "x", "datatype": "FP8", "shape": [-1]}]
        with pytest.raises(CannotLoad, match="unknown type 'FP8'"):
            reload(tmp_path)
        with pytest.raises(CannotLoad, match="regression outputs"):
            reload(tmp_path, replace(NUMBERS, task=TaskSpec("binary")))


def test_a_credential_is_followed_when_it_is_needed_and_never_kept(tmp_path: Path) -> None:
    with remote_server(needs="Bearer s3cret") as server:
        with pytest.raises(CannotLoad, match=r"answers 401: .*who are you"):
            load(server, tmp_path)
        given = load(
            server, tmp_path, authorization="env:REMOTE", secret={"env:REMOTE": "Bearer s3cret"}.get
        )  # type: ignore[arg-type]
        assert ask(given) == SUMS
        held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert b"env:REMOTE" in held
        assert b"s3cret" not in held


@pytest.mark.parametrize("binary", [True, False])
def test_an_answer_of_another_model_or_version_is_refused(tmp_path: Path, binary: bool) -> None:
    """Somebody put another one in its place over there."""
    with remote_server(binary=binary) as server:
        for message in ({"model_name": "sum", "model_version": "3"}, {"model_version": ""}, {}):
            server.said = message
            assert ask(load(server, tmp_path), ROWS[:1]) == SUMS[:1]
        for message, words in (
            ({"model_name": "sum", "model_version": "4"}, "by the version '4', not '3'"),
            ({"model_name": "other", "model_version": "3"}, "by the model 'other', not 'sum'"),
        ):
            server.said = message
            with pytest.raises(RuntimeFailed, match=words):
                ask(load(server, tmp_path), ROWS[:1])
        assert len(server.batches) == 5, "what it answered is not asked again"


def test_the_only_version_of_a_server_is_the_one_that_was_registered(tmp_path: Path) -> None:
    with remote_server(versions=["3"], said={"model_version": "3"}) as server:
        describe_remote(server.plain_address, tmp_path)
        (tmp_path / INPUTS_FILE).write_bytes(msgspec.json.encode(INPUTS))
        (tmp_path / SERVED_FILE).write_bytes(msgspec.json.encode(SERVED))
        assert ask(reload(tmp_path)) == SUMS
        server.versions, server.said = ["3", "4"], {"model_version": "4"}
        with pytest.raises(RuntimeFailed, match="by the version '4', not '3'"):
            ask(reload(tmp_path))
        server.versions = ["4"]
        with pytest.raises(CannotLoad, match=r"version '3' alone .* '4' alone now"):
            reload(tmp_path)


def test_a_server_of_a_private_authority_is_trusted_by_the_setting(tmp_path: Path) -> None:
    issue(tmp_path, 1)
    own, home = tmp_path / CHAIN, tmp_path / "version"
    home.mkdir()
    with remote_server(tls=(own, tmp_path / KEY)) as server:
        with pytest.raises(CannotLoad, match="ConnectError"):
            describe_remote(server.address, home)
        describe_remote(server.address, home, ca=own)
        (home / INPUTS_FILE).write_bytes(msgspec.json.encode(INPUTS))
        (home / SERVED_FILE).write_bytes(msgspec.json.encode(SERVED))
        with pytest.raises(CannotLoad, match="ConnectError"):
            reload(home)
        assert ask(reload(home, ca=own)) == SUMS
        commented = tmp_path / "commented.pem"
        commented.write_bytes("# Größe\n".encode() + own.read_bytes() * 2)
        assert ask(reload(home, ca=commented)) == SUMS
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        for wrong, message in (
            (tmp_path / "none", "No such file"),
            (home / INPUTS_FILE, "no certificate"),
            (fifo, "no regular file"),
        ):
            with pytest.raises(CannotLoad, match=f"`remote_ca` is .*{message}"):
                reload(home, ca=wrong)


@pytest.mark.parametrize("kind", ["file", "env"])
def test_a_renewed_credential_is_read_where_the_old_one_is_refused(
    tmp_path: Path, kind: str
) -> None:
    """Of a file, which is looked at once in a while, however many are refused."""
    read: list[str] = []

    def secret(reference: str) -> str:
        read.append(reference)
        return held[0]

    with remote_server(needs="Bearer old") as server:
        held = ["Bearer old"]
        given = load(server, tmp_path, authorization=f"{kind}:key", secret=secret)
        encoded = [given.encode(row) for row in ROWS]
        before = len(read)

        async def story() -> None:
            assert (await given.predict_async(encoded, SOON_S))[0].tolist() == SUMS
            assert len(read) == before
            server.needs = held[0] = "Bearer new"
            if kind == "env":
                with pytest.raises(RuntimeFailed, match="answers 401"):
                    await given.predict_async(encoded, SOON_S)
                return
            assert (await given.predict_async(encoded, SOON_S))[0].tolist() == SUMS
            server.needs = "Bearer newer"
            for _ in range(3):
                with pytest.raises(RuntimeFailed, match="answers 401"):
                    await given.predict_async(encoded, SOON_S)

        run(given, story)
        assert len(read) - before == (1 if kind == "file" else 0)


@pytest.mark.parametrize(
    "address",
    [
        "http://h/v1/models/m", "http://h:8000/v2/models/", "ftp://h/v2/models/m",
        "http://me:pw@h/v2/models/m", "http://h/v2/models/m?key=1", "http:///v2/models/m",
        "http://h/v2/models/m/versions/",
    ],
)  # fmt: skip
def test_an_address_that_names_no_model_is_refused(address: str) -> None:
    with pytest.raises(CannotLoad) as found:
        parse_address(address)
    assert "pw" not in str(found.value)


def test_an_address_says_server_model_and_version() -> None:
    found = parse_address("https://h:8443/triton/v2/models/a%2Fb/versions/1")
    assert (found.server, found.model, found.version) == ("https://h:8443/triton", "a/b", "1")
    assert found.path == "https://h:8443/triton/v2/models/a%2Fb/versions/1"
    assert parse_address("http://h/v2/models/m").path == "http://h/v2/models/m"


def test_what_a_server_says_becomes_what_a_file_says(tmp_path: Path) -> None:
    outputs = [
        {"name": "label", "datatype": "BYTES", "shape": [-1]},
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]},
    ]
    inputs = [
        {"name": "a", "datatype": "FP64", "shape": [-1]},
        {"name": "b", "datatype": "BYTES", "shape": [-1, 1]},
    ]
    with remote_server(inputs=inputs, outputs=outputs) as server:
        found = read_remote(describe_remote(server.address, tmp_path))
        assert found.features == ("a", "b")
        assert found.tensors == (("a", "float64", 1), ("b", "string", 1))
        assert found.output_shapes == {"probabilities": (3,)}
        server.inputs, server.outputs = [], []
        found = read_remote(describe_remote(server.address, tmp_path))
        assert (found.features, found.tensors) == ((), ())


@pytest.mark.parametrize("inputs", [[], [{"name": "m", "datatype": "FP64", "shape": [-1, -1]}]])
def test_a_server_that_takes_any_width_gets_one_matrix(tmp_path: Path, inputs: Any) -> None:
    with remote_server(inputs=inputs) as server:
        assert ask(load(server, tmp_path, served=replace(SERVED, tensors=()))) == SUMS
        (sent,) = server.seen[0]["inputs"]
        name = "m" if inputs else "input-0"
        assert (sent["name"], sent["datatype"], sent["shape"]) == (name, "FP64", [3, 3])


def queue_of(predictor: RemotePredictor) -> ModelQueue:
    return ModelQueue("m", "1", predictor, make_task(NUMBERS.task), 0.0, BreakerPolicy())


def test_many_executions_are_under_way_at_one_time(tmp_path: Path) -> None:
    with remote_server() as server:
        predictor = load(server, tmp_path)

        async def story() -> None:
            batcher, queue = NextTickBatcher(max_rows=1), queue_of(predictor)
            server.gate.clear()
            deadline = asyncio.get_running_loop().time() + 60.0
            waiting = [batcher.submit(queue, [(float(i), 0.0, 0.0)], deadline) for i in range(40)]
            await until(lambda: server.most_at_once == predictor.concurrency)
            server.gate.set()
            assert [row for found in await asyncio.gather(*waiting) for row in found] == [
                (float(i),) for i in range(40)
            ]
            assert server.most_at_once == predictor.concurrency

        run(predictor, story)


def test_only_the_row_at_fault_fails(tmp_path: Path) -> None:
    with remote_server(bad=77.0) as server:
        predictor = load(server, tmp_path)

        async def story() -> None:
            batcher, queue = NextTickBatcher(), queue_of(predictor)
            rows = [(float(i), 0.0, 0.0) for i in range(70, 86)]
            deadline = asyncio.get_running_loop().time() + 60.0
            found = await batcher.submit(queue, rows, deadline)
            good = [row for row in found if isinstance(row, tuple)]
            assert good == [(row[0],) for row in rows if row[0] != 77.0]
            assert isinstance(found[7], RowsRefused)
            assert len(server.batches) <= 10

        run(predictor, story)


def test_the_sum_of_a_row_is_that_of_its_numbers() -> None:
    """The server of these tests itself."""
    assert [float(np.nansum([v or 0.0 for v in row])) for row in ROWS] == SUMS
