"""The examples of the page run as they stand, against a real gateway, and say the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import docs.documented as d
import pytest
from apps.gateway.live import Live, live
from inference.harness import route

from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.task import Contract

PAGE = "howto/use-your-client.md"
BLOCKS = re.findall(r"^```(python|sh)\n(.*?)^```$", d.page(PAGE), re.MULTILINE | re.DOTALL)
CONTRACT = Contract(
    (
        FeatureSpec("distance_km", "order", FeatureType.NUMBER),
        FeatureSpec("items", "order", FeatureType.INTEGER),
        FeatureSpec("hour", "order", FeatureType.INTEGER),
        FeatureSpec("rain_mm", "weather", FeatureType.NUMBER, nullable=True),
    )
)
MODEL = "order-late"


@pytest.fixture(scope="module")
def gateway() -> Iterator[Live]:
    def prepare(harness: object) -> None:
        harness.predictor(model=MODEL).answers = lambda row: row[0] / 10  # type: ignore[attr-defined]

    with live(route(MODEL, contract=CONTRACT), prepare=prepare, bound=(MODEL, "wv_acme")) as found:
        yield found


def test_the_page_shows_every_client() -> None:
    assert len(BLOCKS) == 8


@pytest.mark.parametrize(("kind", "code"), BLOCKS)
def test_an_example_runs_and_gives_the_prediction(gateway: Live, kind: str, code: str) -> None:
    command = [sys.executable, "-c", code] if kind == "python" else ["bash", "-euc", code]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False,
        env={
            "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "KEY": "wv_acme",
            "GATEWAY": f"http://127.0.0.1:{gateway.port}", "GRPC": f"127.0.0.1:{gateway.grpc_port}",
            "MODEL_PORT": f"127.0.0.1:{gateway.bound_port}",
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "0.42" in done.stdout, done.stdout + done.stderr
    event = gateway.harness.spool.events[-1]
    assert event.model == MODEL
    assert "4.2" in repr(event.features)
