"""Two tenants, one model, the same rows: nothing of one is ever seen by the other."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from journeys.gateway_load import HttpResponse, ask, body_of, both_workers, key_id, post_json, up
from journeys.installation import FILE, MODEL, Installation, wait_until

from windvane.adapters.delta import DeltaEventLog
from windvane.usecases.read_model_file import read_model_file

pytestmark = pytest.mark.takes_turns

CACHED = FILE.replace("  deadline: 5s\n", "  deadline: 5s\n  cache: {ttl: 1h}\n")
SECRET = FILE.replace("model: late\n", "model: bolts-own\n").replace(
    "serve:\n", "serve:\n  tenants: [bolt-the-second]\n"
)
BOLT = "bolt-the-second"


@pytest.fixture
def running(home: Installation) -> Iterator[Installation]:
    """Acme and Bolt share ``late``, which is cached; ``bolts-own`` is Bolt's alone."""
    for text in (CACHED, SECRET):
        (home.home / "applied.yaml").write_text(text)
        home.cli("apply", str(home.home / "applied.yaml"))
    table = str(home.home / "orders.csv")
    home.cli("train", "bolts-own", table, "--label", "late", "--time", "placed")
    home.cli("deploy", "bolts-own", "1")
    up(home, workers=2)
    yield home
    home.stop()


@pytest.fixture
def bolt(running: Installation) -> str:
    key = running.cli("key", "issue", BOLT, "--scope", "predict", "--scope", "outcomes",
                      "--scope", "read").strip()  # fmt: skip
    wait_until("it is known", lambda: ask(running, key).status == 200, 5.0)
    return key


def test_nothing_crosses(running: Installation, bolt: str) -> None:
    acme = running.key
    _cache_hits_are_ones_own(running, acme, bolt)
    _names_of_requests_are_ones_own(running, acme, bolt)
    _refusals_tell_nothing(running, acme, bolt)


def _cache_hits_are_ones_own(home: Installation, acme: str, bolt: str) -> None:
    row = {"distance": 17.25, "kind": "bike", "rain": 1.5}
    given = body_of(row, unit="same")

    def until_cached(key: str) -> None:
        """Both workers hold the row for this tenant."""

        def flagged() -> bool:
            found = both_workers_rows(home, key, given)
            return all("cached" in flags for flags in found.values())

        wait_until("both workers have it cached", flagged, 20.0)

    first = ask(home, acme, given=given)
    assert first.rows[0]["flags"] == []
    until_cached(acme)
    seen: dict[str, list[str]] = {}
    while len(seen) < 2:  # the other tenant's first question to each worker
        answer = ask(home, bolt, given=given)
        seen.setdefault(answer.worker, answer.rows[0]["flags"])
        assert answer.rows[0]["value"] == first.rows[0]["value"]
    assert list(seen.values()) == [[], []], "a hit on another tenant's answer"
    until_cached(bolt)


def both_workers_rows(home: Installation, key: str, given: bytes) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for _ in range(400):
        answer = ask(home, key, given=given)
        out[answer.worker] = answer.rows[0]["flags"]
        if len(out) == 2:
            return out
    raise AssertionError("only one worker answers")


def _names_of_requests_are_ones_own(home: Installation, acme: str, bolt: str) -> None:
    """Both used the same request ids; the truth of one joins only its own predictions."""
    names = [f"shared-{i}" for i in range(6)]
    for key in (acme, bolt):
        for name in names:
            answer = ask(home, key, headers={"x-request-id": name})
            assert (answer.status, answer.headers["x-request-id"]) == (200, name)
    only = [f"acme-only-{i}" for i in range(4)]
    for name in only:
        assert ask(home, acme, headers={"x-request-id": name}).status == 200
    told = dict.fromkeys((*names, *only), 1.0)
    assert post_json(home, bolt, "/v1/outcomes", outcomes(told)).status == 202
    assert post_json(home, acme, "/v1/outcomes", outcomes(dict.fromkeys(names, 0.0))).status == 202
    log = DeltaEventLog(home.settings.log_root)
    asked = {**dict.fromkeys(names, 2), **dict.fromkeys(only, 1)}
    # Each worker has a spool of its own: outcomes may be in the log before what they are about.
    wait_until("outcomes are in the log", lambda: log.counts(MODEL)["outcomes"] == 16)
    wait_until(
        "so are the predictions",
        lambda: Counter(n for r in home.rows() if (n := r["request_id"]) in asked) == asked,
    )
    with home.store() as store, store.read() as tx:
        contract = read_model_file(tx.model(MODEL).text).contract
    labels = [v for one in log.scored(MODEL, contract, 0.0, 4e9) for v in one.labels.tolist()]
    by_value = {v: labels.count(v) for v in (0.0, 1.0)}
    assert by_value == {0.0: 6, 1.0: 6}, "a tenant's outcome was joined to another's prediction"


def outcomes(told: dict[str, float]) -> dict[str, Any]:
    rows = [{"request_id": name, "value": value} for name, value in told.items()]
    return {"model": MODEL, "outcomes": rows}


def _refusals_tell_nothing(home: Installation, acme: str, bolt: str) -> None:
    assert ask(home, bolt, path="/v1/models/bolts-own/predict").status == 200
    hidden, missing = (
        _without(ask(home, acme, path=f"/v1/models/{name}/predict"), name)
        for name in ("bolts-own", "bolts-new")
    )
    assert hidden == missing
    told_hidden, told_missing = (
        _without(post_json(home, acme, "/v1/outcomes", {"model": name, "outcomes": []}), name)
        for name in ("bolts-own", "bolts-new")
    )
    assert told_hidden == told_missing == hidden
    seen = ask(home, bolt, method="GET", path="/v1/models", given=b"")
    assert [m["model"] for m in seen.json["models"]] == ["bolts-own", "late"]
    home.cli("limit", "acme", "--rate", "1 per 100s")
    wait_until("acme is over its limit", lambda: ask(home, acme).status == 429, 5.0)
    refused = [
        ask(home, acme),
        ask(home, acme, method="GET", path="/v1/models", given=b""),
        ask(home, acme, path="/v1/models/bolts-own/predict"),
        ask(home, acme, given=b"{"),
        ask(home, acme, given=body_of({"distance": -1, "kind": BOLT})),
        ask(home, acme, headers={"windvane-version": "x"}),
        ask(home, acme, headers={"x-request-deadline": "x"}),
        ask(home, "wv_nobody"),
        ask(home, bolt[:-1]),
        post_json(home, acme, "/v1/outcomes", {"model": "bolts-own"}),
        post_json(home, acme, "/v1/outcomes", outcomes({"q": 1.0})),
    ]
    assert {a.status for a in refused} >= {400, 401, 403, 404, 429}
    secrets = [bolt, bolt.split("_", 2)[2], key_id(bolt)]
    for answer in refused:
        message = answer.body.decode() + json.dumps(answer.headers)
        if BOLT in message:
            assert answer.code == "CON-110", "only what acme itself sent comes back"
        assert not [s for s in secrets if s in message], message
    assert ask(home, bolt).status == 200, "one tenant's limit is not another's"
    assert {a.status for a in both_workers(home, bolt).values()} == {200}


def _without(answer: HttpResponse, name: str) -> Any:
    """All of a refusal but what differs between any two requests."""
    assert (answer.status, answer.code) == (404, "GAT-102")
    body = answer.body.decode().replace(name, "?")
    kept = {k: v for k, v in answer.headers.items() if k != "date"}
    return re.sub(r'"request_id":"[^"]*"', "", body), kept
