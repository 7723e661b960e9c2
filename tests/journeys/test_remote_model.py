"""One installation asks the model of another: registered by its address, as any other version."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from journeys.gateway_load import ask, body_of, settle, up
from journeys.installation import FILE, MODEL, Installation, free_port, wait_until, write_table

from windvane.adapters.sql import SqlControlStore
from windvane.usecases.measure_partial_dependence import unpack_partial_dependence

REFERENCE = "env:ORIGIN_KEY"


@pytest.fixture
def front(home: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty installation that knows the key of ``home``, the origin."""
    monkeypatch.setenv("ORIGIN_KEY", f"Bearer {home.key}")
    folder = tmp_path / "front"
    folder.mkdir()
    made = Installation(folder, free_port(), free_port())
    settle(
        made, port=made.port, console_port=made.console_port, recorder_every_s=0.1,
        log_commit_every_s=0.1, steward_every_s=0.1, lease_s=2.0,
    )  # fmt: skip
    file = FILE.replace("serve:\n", "serve:\n  circuit: {failures: 3, pause: 1s, probes: 1}\n")
    (folder / "model.yaml").write_text(file)
    write_table(folder / "table.csv")
    made.key = made.cli("key", "issue", "acme").strip()
    made.cli("apply", str(folder / "model.yaml"))
    yield made
    made.stop()


def test_a_model_of_another_server_is_registered_and_served(
    home: Installation, front: Installation
) -> None:
    up(home)
    address = f"{home.url}/v2/models/{MODEL}/versions/1"
    table = ["--data", str(front.home / "table.csv"), "--label", "late", "--time", "placed"]
    message = front.cli("register", MODEL, address, *table, "--authorization", REFERENCE,
                     "--remote-rows", "500")  # fmt: skip
    assert "a server of its own runs it" in message
    assert "nothing was compared: another server runs it" in message
    store = SqlControlStore(f"sqlite:///{front.home / 'control.db'}")
    with store.read() as tx:
        answers = unpack_partial_dependence(tx.version(MODEL, "1").partial_dependence)
    store.close()
    assert answers is not None
    assert "is asked for no rows that nobody sent" in answers.missing
    front.cli("deploy", MODEL, "1")
    up(front)
    rows = [{"distance": 40.0, "kind": "bike", "rain": None}, {"distance": 4.0, "kind": "van",
             "rain": 12.0}]  # fmt: skip
    wait_until("the deployment is published", lambda: ask(front).status == 200, 30.0)
    values = [
        [row["value"] for row in ask(one, given=body_of(*rows)).rows] for one in (front, home)
    ]
    assert values[0] == pytest.approx(values[1], abs=1e-9)
    # The origin is gone: the fallback answers, and says why; it comes back by itself.
    home.stop()
    others = [{**row, "distance": 33.0} for row in rows]  # of which no answer is cached
    without = ask(front, given=body_of(*others)).rows
    assert [(row["value"], row["flags"][0]) for row in without] == [(0.3, "failed")] * 2
    up(home)
    wait_until(
        "the origin answers again",
        lambda: [r["arm"] for r in ask(front, given=body_of(*others)).rows if not r["flags"]],
        30.0,
    )
    kept = b"".join(p.read_bytes() for p in front.home.rglob("*") if p.is_file())
    assert REFERENCE.encode() in kept
    assert home.key.encode() not in kept


@pytest.mark.takes_turns
def test_an_address_that_does_not_answer_is_named(front: Installation) -> None:
    table = ["--data", str(front.home / "table.csv"), "--label", "late", "--time", "placed"]
    address = f"http://127.0.0.1:{free_port()}/v2/models/{MODEL}"
    with pytest.raises(AssertionError, match=r"RUN-105 .*cannot be asked"):
        front.cli("register", MODEL, address, *table)
    with pytest.raises(AssertionError, match="it is a reference"):
        front.cli("register", MODEL, address, *table, "--authorization", "Bearer secret")
    with pytest.raises(AssertionError, match="SET-102"):
        front.cli("register", MODEL, address, *table, "--authorization", "env:NOT_SET")
