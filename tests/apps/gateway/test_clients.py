"""The clients that people have, against a real server."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import os
import select
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
import zstandard
from apps.gateway.forms import ALL, GOOD, MODEL, NUMBERS, arrow_stream, number_of
from apps.gateway.live import Live, ask, free_port, live
from inference.harness import Harness, key, route
from tritonclient.utils import InferenceServerException

from windvane.core.task import Contract, TaskSpec
from windvane.ports.events import Predicted

MIXED, CLASSES = "mixed", "classes"


def auth() -> dict[str, str]:
    """A fresh one each time: tritonclient writes what else it sends into it."""
    return {"Authorization": "Bearer wv_acme"}


def _prepare(harness: Harness) -> None:
    for model in (MODEL, MIXED):
        harness.predictor(model=model).answers = number_of
    probabilities = harness.predictor(model=CLASSES)
    probabilities.predict = lambda rows: [np.tile([0.25, 0.75], (len(rows), 1))]  # type: ignore[method-assign]


@pytest.fixture(scope="module")
def gateway() -> Iterator[Live]:
    named = Contract(NUMBERS.features, TaskSpec("multiclass", classes=("no", "yes")))
    routes = (route(contract=NUMBERS), route(MIXED, contract=ALL), route(CLASSES, contract=named))
    with live(*routes, prepare=_prepare) as found:
        yield found


def tensor(name: str, values: Any, datatype: str, *, binary: bool = True) -> Any:
    array = np.array(values)
    made = triton.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


ROWS = np.array([[1.0, math.nan, 3.0], [-2.0, 0.5, 4.0]])
SAID = [number_of((1.0, None, 3)), number_of((-2.0, 0.5, 4))]


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_tritonclient_sends_a_matrix(gateway: Live, binary: bool, compression: str | None) -> None:
    rows = ROWS if binary else np.array([[1.0, 0.0, 3.0], [-2.0, 0.5, 4.0]])
    message = SAID if binary else [number_of((1.0, 0.0, 3)), SAID[1]]
    with triton.InferenceServerClient(f"127.0.0.1:{gateway.port}") as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(MODEL, headers=auth())
        assert not client.is_model_ready("none", headers=auth())
        assert not client.is_model_ready(MODEL)
        assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
        about = client.get_model_metadata(MODEL, headers=auth())
        assert [one["name"] for one in about["inputs"]] == ["a", "b", "c"]
        assert about["versions"] == ["1"]
        wanted = [triton.InferRequestedOutput("value", binary_data=binary)]
        for outputs in (None, wanted):
            answer = client.infer(
                MODEL, [tensor("input", rows, "FP64", binary=binary)], outputs=outputs,
                headers=auth(), request_id="mine", request_compression_algorithm=compression,
            )  # fmt: skip
            assert answer.as_numpy("value").tolist() == message
            response = answer.get_response()
            assert (response["id"], response["model_version"]) == ("mine", "1")
            assert response["parameters"]["arm"] == "champion"
        with pytest.raises(InferenceServerException, match=r"row 0: a 9\.0 is outside -5 to 5"):
            client.infer(MODEL, [tensor("input", [[9.0, 1.0, 1.0]], "FP64")], headers=auth())
        with pytest.raises(InferenceServerException, match="GAT-101"):
            client.infer(MODEL, [tensor("input", ROWS, "FP64")])
        with pytest.raises(InferenceServerException, match="GAT-102"):
            client.infer(MODEL, [tensor("input", ROWS, "FP64")], model_version="7", headers=auth())


def _mixed() -> list[Any]:
    text = np.array([GOOD["datetime"].isoformat()], np.object_)
    return [
        tensor("number", np.array([1.5], np.float32), "FP32"),
        tensor("integer", np.array([2], np.int16), "INT16"),
        tensor("boolean", np.array([True]), "BOOL"),
        tensor("category", np.array(["van"], np.object_), "BYTES"),
        tensor("datetime", text, "BYTES"),
        tensor("text", np.array(["hey"], np.object_), "BYTES"),
        tensor("vector", np.array([[1.0, 2.0]]), "FP64"),
        tensor("image", np.array([b"png"], np.object_), "BYTES"),
    ]


def test_tritonclient_sends_a_tensor_a_feature(gateway: Live) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{gateway.port}") as client:
        answer = client.infer(MIXED, _mixed(), headers=auth())
    when = datetime(2026, 11, 28, 12, tzinfo=UTC).timestamp()
    row = (1.5, 2, True, "van", when, "hey", [1.0, 2.0], b"png")
    assert answer.as_numpy("value").tolist() == [number_of(row)]


def test_tritonclient_reads_labels(gateway: Live) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{gateway.port}") as client:
        answer = client.infer(CLASSES, [tensor("m", np.ones((3, 3)), "FP64")], headers=auth())
    assert answer.as_numpy("value").tolist() == [b"yes"] * 3
    assert answer.as_numpy("probabilities").tolist() == [[0.25, 0.75]] * 3


def test_tritonclient_aio(gateway: Live) -> None:
    async def story() -> None:
        async with triton_aio.InferenceServerClient(f"127.0.0.1:{gateway.port}") as client:
            assert await client.is_server_ready()
            inputs = triton_aio.InferInput("input", [2, 3], "FP64")
            inputs.set_data_from_numpy(ROWS)
            answers = await asyncio.gather(
                *(client.infer(MODEL, [inputs], headers=auth()) for _ in range(20))
            )
            assert all(answer.as_numpy("value").tolist() == SAID for answer in answers)

    asyncio.run(story())


def _scoring_client(port: int) -> Any:
    with warnings.catch_warnings():  # MLflow's own, of its own code
        warnings.simplefilter("ignore")
        from mlflow.pyfunc.scoring_server.client import ScoringServerClient
    return ScoringServerClient("127.0.0.1", port)


@pytest.mark.parametrize(
    "data",
    [
        pd.DataFrame({"b": [math.nan, 0.5], "a": [1.0, -2.0], "c": [3, 4]}),
        np.array([[1.0, math.nan, 3.0], [-2.0, 0.5, 4.0]]),
    ],
)
def test_mlflows_own_client_on_the_port_of_a_model(gateway: Live, data: Any) -> None:
    client = _scoring_client(gateway.bound_port)
    client.wait_server_ready(timeout=10)
    assert client.get_version()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answer = client.invoke(data)
        assert answer.get_predictions()[0].tolist() == SAID
        with pytest.raises(Exception, match="params are not taken"):
            client.invoke(data, params={"top": 3})


def test_the_port_of_a_model_serves_it_alone(gateway: Live) -> None:
    port = gateway.bound_port
    for path in ("/v1/models", f"/models/{MODEL}/invocations", "/v2", "/v1/outcomes", "/healthz"):
        status, _, body = ask(port, "POST" if "inv" in path else "GET", path, b"")
        assert status == 404
        assert json.loads(body)["error"]["code"] == "GAT-103"
    other = [("Authorization", "Bearer nobody"), ("Content-Type", "text/csv; header=absent")]
    status, headers, body = ask(port, "POST", "/invocations", b"1,,3\n-2,0.5,4", other)
    assert (status, json.loads(body)["predictions"]) == (200, SAID)
    assert headers["windvane-request-id"]
    assert ask(port, "GET", "/invocations")[0] == 405
    assert ask(port, "GET", "/ping")[::2] == (200, b"\n")


def test_sagemakers_csv(gateway: Live) -> None:
    headers = [*auth().items(), ("Content-Type", "text/csv; header=absent"), ("Accept", "text/csv")]
    status, told, body = ask(
        gateway.port, "POST", f"/models/{MODEL}/invocations", b"1,,3\n-2,0.5,4\n", headers
    )
    assert (status, told["content-type"]) == (200, "text/csv"), body
    assert [float(line) for line in body.decode().split()] == SAID


@pytest.mark.parametrize("coding", ["gzip", "zstd", "identity"])
def test_many_rows_by_arrow_in_and_out(gateway: Live, coding: str) -> None:
    columns = {"a": pa.array([1.0, -2.0]), "b": pa.array([None, 0.5]), "c": pa.array([3, 4])}
    body = arrow_stream(columns)
    packed = {"gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress}
    kind = "application/vnd.apache.arrow.stream"
    headers = [
        *auth().items(),
        ("Content-Type", kind),
        ("Accept", kind),
        ("Content-Encoding", coding),
    ]
    sent = packed[coding](body) if coding in packed else body
    status, _, answer = ask(gateway.port, "POST", f"/v1/models/{MODEL}/predict", sent, headers)
    assert status == 200
    assert pa.ipc.open_stream(answer).read_all()["value"].to_pylist() == SAID
    event = gateway.harness.spool.events[-1]
    assert isinstance(event, Predicted)
    assert event.features == [[1.0, -2.0], [None, 0.5], [3, 4]]


@pytest.mark.parametrize(
    "path",
    ["/v2", "/v2/health/live", "/v2/health/ready", f"/v2/models/{MODEL}",
     f"/v2/models/{MODEL}/ready", f"/v2/models/{MODEL}/versions/1", "/ping", "/health", "/version",
     "/openapi.json", "/healthz", "/readyz", "/v1/models"],
)  # fmt: skip
def test_head_is_where_get_is(gateway: Live, path: str) -> None:
    got = ask(gateway.port, "GET", path, headers=list(auth().items()))
    head = ask(gateway.port, "HEAD", path, headers=list(auth().items()))
    assert (got[0], head[0], head[2]) == (200, 200, b"")
    assert got[1]["content-length"] == head[1]["content-length"]
    assert ask(gateway.port, "DELETE", path, headers=list(auth().items()))[0] == 405


def test_a_models_metadata_needs_a_key_that_may_predict_or_read() -> None:
    from inference.harness import run

    keys = [key("p", "acme", "predict"), key("r", "acme", "read"), key("o", "acme", "outcomes")]

    async def story(harness: Harness) -> None:
        await harness.publish(route(contract=NUMBERS), keys=keys)
        told = {}
        for name in ("p", "r", "o", "x"):
            answer = await harness.call("GET", f"/v2/models/{MODEL}", auth=f"Bearer wv_{name}")
            told[name] = answer.status
            assert (await harness.call("GET", "/v2/health/ready", auth="")).status == 200
        assert told == {"p": 200, "r": 200, "o": 403, "x": 401}
        harness.app.draining = True
        for path in ("/v2/health/ready", "/ping", "/health"):
            assert (await harness.call("GET", path, auth="")).status == 503
        assert (await harness.call("GET", "/v2/health/live", auth="")).status == 200

    run(story)


def test_workers_of_an_installation_share_the_port_of_a_model(tmp_path: Path) -> None:
    """Two processes as the supervisor starts them, by the settings file alone."""
    plain, bound = free_port(), free_port()
    (tmp_path / "late.key").write_text("wv_acme\n")
    text = f"invocations: [{{port: {bound}, model: late, key: 'file:late.key'}}]\ndrain_s: 0.1\n"
    (tmp_path / "windvane.yaml").write_text(text)
    workers: list[subprocess.Popen[bytes]] = []
    with socket.create_server(("127.0.0.1", plain)) as listener:
        try:
            for number in range(2):
                ready, message = os.pipe()
                environ = {
                    **os.environ, "WINDVANE_HOME": str(tmp_path), "WINDVANE_WORKER": str(number),
                    "WINDVANE_LISTEN_FD": str(listener.fileno()), "WINDVANE_READY_FD": str(message),
                }  # fmt: skip
                workers.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "windvane.apps.gateway"],
                        env=environ, pass_fds=[listener.fileno(), message],
                    )
                )  # fmt: skip
                os.close(message)
                assert select.select([ready], [], [], 30)[0], "the worker does not come"
                assert os.read(ready, 1) == b"1"
                os.close(ready)
            for _ in range(20):  # each connection is either worker's
                status, _, body = ask(bound, "GET", "/ping")
                assert (status, json.loads(body)["error"]["code"]) == (503, "GAT-106")
                status, _, body = ask(bound, "POST", "/invocations", b"{}")
                assert (status, json.loads(body)["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
                assert ask(bound, "GET", "/v1/models")[0] == 404
            assert ask(plain, "GET", "/ping")[0] == 503
            workers[0].terminate()
            assert workers[0].wait(20) in (0, -signal.SIGTERM)
            assert ask(bound, "GET", "/ping")[0] == 503
        finally:
            for worker in workers:
                worker.kill()
                worker.wait(20)


def test_a_worker_whose_key_is_not_there_does_not_start(tmp_path: Path) -> None:
    text = (
        f"port: {free_port()}\ninvocations: [{{port: {free_port()}, model: late, key: 'env:NONE'}}]"
    )
    (tmp_path / "windvane.yaml").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "windvane.apps.gateway"], capture_output=True, text=True,
        env={**os.environ, "WINDVANE_HOME": str(tmp_path)}, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "key is 'env:NONE', which is not set" in done.stderr
