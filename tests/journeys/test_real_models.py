"""Real models, from their files to answers over HTTP: what is served is what the model's own
library answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import tritonclient.http as triton
from journeys.installation import Installation, free_port, wait_until
from journeys.real_models import (
    RealModel,
    file_type_model,
    image_model,
    regression_model,
    text_model,
)

from windvane.client import Client

Maker = Callable[[Path], RealModel]
_AT_ONCE = 2


@pytest.mark.filterwarnings("ignore:.*Add type hints to the:UserWarning")
@pytest.mark.parametrize(
    "makers",
    [
        pytest.param((image_model,), id="image"),
        pytest.param(
            (text_model, regression_model, file_type_model),
            id="text, regression and file types",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_real_models_answer_over_http_as_their_own_library(
    makers: Sequence[Maker], tmp_path: Path
) -> None:
    """All of one home are brought at the same time. The text and a regression are also asked in
    each run of the tests: by the zoo and by the tutorial."""
    models = [maker(_folder(tmp_path / maker.__name__)) for maker in makers]
    home = Installation(_folder(tmp_path / "home"), free_port(), free_port())
    (home.home / "windvane.yaml").write_text(f"port: {home.port}\n")
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda model: bring(home, model), models))
    home.key = home.cli("key", "issue", "acme").strip()  # and so publishes the routing table
    home.start("gateway")
    try:
        home.wait_ready()
        with Client(home.url, home.key, deadline=30.0) as client:
            for model in models:
                wait_until(f"{model.name} answers", lambda m=model: is_ready(home, m), 30.0)
                check(home, client, model)
    finally:
        home.stop()


def bring(home: Installation, model: RealModel) -> None:
    """By the commands that a user gives; code takes an admin's word."""
    file = home.home / f"{model.name}.yaml"
    file.write_text(model.text)
    home.cli("apply", str(file))
    trust = ["--trust"] if model.code else []
    home.cli(
        "register", model.name, str(model.source), "--data", str(model.table),
        "--time", "known_at", *model.options, *trust,
    )  # fmt: skip
    if model.code:
        home.cli("trust", model.name, "1")
    home.cli("deploy", model.name, "1")


def is_ready(home: Installation, model: RealModel) -> bool:
    found = httpx.get(
        f"{home.url}/v2/models/{model.name}/ready",
        headers={"Authorization": f"Bearer {home.key}"}, timeout=10.0,
    )  # fmt: skip
    return found.status_code == 200


def check(home: Installation, client: Client, model: RealModel) -> None:
    """Every protocol gives what the library gives, from the champion and nothing else."""
    answers = client.predict(model.name, model.rows)
    assert {(one.version, one.arm, one.flags) for one in answers} == {("1", "champion", ())}
    assert model.right(answers.values) >= model.least_right
    held = answers.output(model.output)
    if isinstance(held[0], dict):
        held = [list(one.values()) for one in held]
    agree(held, model)
    agree(by_triton(home, model), model)
    if not any(isinstance(value, bytes | list) for value in model.rows[0].values()):
        values = by_mlflow(home, model)
        assert values == answers.values


def agree(found: Any, model: RealModel) -> None:
    found = np.asarray(found, np.float64)
    assert found.shape == np.shape(model.expected), model.name
    assert np.abs(found - model.expected).max() <= model.tolerance, model.name


def by_triton(home: Installation, model: RealModel) -> Any:
    """Open Inference Protocol with binary tensors, by NVIDIA's client."""
    inputs: list[Any] = []
    for name, first in model.rows[0].items():
        values = [row[name] for row in model.rows]
        if isinstance(first, str | bytes):
            array, kind = np.array(values, np.object_), "BYTES"
        else:
            array, kind = np.array(values, np.float64), "FP64"
        inputs.append(triton.InferInput(name, list(array.shape), kind))
        inputs[-1].set_data_from_numpy(array)
    with triton.InferenceServerClient(home.url.removeprefix("http://")) as client:
        answer = client.infer(model.name, inputs, headers={"Authorization": f"Bearer {home.key}"})
    return answer.as_numpy(model.output)


def by_mlflow(home: Installation, model: RealModel) -> list[Any]:
    frame = pd.DataFrame(model.rows).to_dict("split")
    answer = httpx.post(
        f"{home.url}/models/{model.name}/invocations",
        json={"dataframe_split": {"columns": frame["columns"], "data": frame["data"]}},
        headers={"Authorization": f"Bearer {home.key}"}, timeout=30.0,
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


def _folder(path: Path) -> Path:
    path.mkdir()
    return path
