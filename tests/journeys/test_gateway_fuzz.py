"""Both documents drive a flood of good and broken requests: every answer is one of those that
are promised, and none is a failure that nobody foresaw."""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from journeys.gateway_load import ROW, ask, up
from journeys.installation import MODEL, Installation, free_port, wait_until
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

EXAMPLES = 40
CONFORMS = ("response_schema_conformance", "content_type_conformance", "status_code_conformance")
BUSY = {503: {"GAT-106", "GAT-107", "GAT-108", "GAT-110"}, 504: {"GAT-112"}}


@pytest.fixture(scope="module")
def running(
    trained_home: Installation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """One installation for the whole flood."""
    folder = tmp_path_factory.mktemp("fuzzed") / "home"
    shutil.copytree(trained_home.home, folder)
    made = Installation(folder, free_port(), free_port(), trained_home.key)
    (folder / "windvane.yaml").write_text(f"port: {made.port}\nconsole_port: {made.console_port}\n")
    up(made)
    try:
        yield made
    finally:
        made.stop()


def checks_named(*names: str) -> list[Any]:
    load_all_checks()
    return CHECKS.get_by_names(list(names))


def flood(
    schema: Any, mode: GenerationMode, headers: dict[str, str], conforms: Any,
    *, paths: str = "", prepare: Any = None,
) -> Counter[tuple[str, int]]:  # fmt: skip
    """Every operation below ``paths``, some dozen times; statuses by operation."""
    seen: Counter[tuple[str, int]] = Counter()
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path.startswith(paths):
            cases = operation.as_strategy(generation_mode=mode)
            _flood_one(operation.label, cases, headers, conforms, prepare, seen)
    return seen


def _flood_one(
    label: str, cases: Any, headers: dict[str, str], conforms: Any, prepare: Any,
    seen: Counter[tuple[str, int]],
) -> None:  # fmt: skip
    @settings(
        max_examples=EXAMPLES * (4 if label.endswith("/predict") else 1),
        database=None, deadline=None, derandomize=True,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=cases, data=st.data())
    def asked(case: Any, data: st.DataObject) -> None:
        if prepare is not None:
            prepare(case, data)
        answer = case.call(headers=headers, timeout=20)
        seen[label, answer.status_code] += 1
        assert answer.status_code != 500, (case.as_curl_command(), answer.text)
        if answer.status_code > 500:
            assert answer.json()["error"]["code"] in BUSY[answer.status_code], answer.text
        case.validate_response(answer, checks=conforms)

    with contextlib.suppress(Unsatisfiable):  # an operation that nothing can be wrong with
        asked()


def aim(case: Any, data: st.DataObject) -> None:
    """Half of the questions are about the model that there is, half of those with whole rows."""
    body = case.body
    if not data.draw(st.booleans()):
        return
    if isinstance(body, dict) and "outcomes" in body:
        body["model"] = MODEL
    if "{model}" not in case.operation.path:
        return
    case.path_parameters = {**(case.path_parameters or {}), "model": MODEL}
    if isinstance(body, dict) and "instances" in body and data.draw(st.booleans()):
        for name in ("Idempotency-Key", "Content-Encoding", "X-Request-Deadline", "grpc-timeout"):
            case.headers.pop(name, None)
        rain = data.draw(st.sampled_from([0.0, None, 1e9]))
        body["instances"] = [{"features": {**ROW, "rain": rain}}]


@pytest.mark.takes_turns
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("signed", [True, False])
def test_the_gateway_answers_whatever_it_is_asked(
    running: Installation, mode: GenerationMode, signed: bool
) -> None:
    schema = schemathesis.openapi.from_url(f"{running.url}/openapi.json")
    key = every_scope(running) if signed else ""
    headers = {"authorization": f"Bearer {key}"} if signed else {}
    seen = flood(schema, mode, headers, checks_named(*CONFORMS), prepare=aim)
    print(f"\n{mode.name} signed={signed}: {sum(seen.values())} requests, {dict(seen)}")
    statuses = {status for _, status in seen}
    assert sum(seen.values()) > 100
    assert not {s for s in statuses if s >= 500} - {503, 504}
    predict = {s for name, s in seen if name.endswith("/predict")}
    if not signed:
        assert 401 in predict
        assert predict <= {400, 401, 415}, "a head that cannot be read, and nothing beyond it"
    elif mode is GenerationMode.POSITIVE:
        assert {200, 404, 422} <= predict
    else:
        assert predict & {400, 422}
    assert ask(running).status == 200, "it still answers"
    name = f"after-{mode.name}-{signed}"
    assert ask(running, headers={"x-request-id": name}).status == 200
    wait_until(
        "all that came is recorded",
        lambda: name in [row["request_id"] for row in running.rows()],
        30.0,
    )
    assert "Traceback" not in (running.home / "logs" / "recorder.log").read_text()


def every_scope(home: Installation) -> str:
    words = [w for scope in ("predict", "outcomes", "read") for w in ("--scope", scope)]
    key = home.cli("key", "issue", "fuzz", *words).strip()
    wait_until("the key is known", lambda: ask(home, key).status == 200, 5.0)
    return key


@pytest.mark.takes_turns
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("signed", [True, False])
def test_the_control_api_answers_whatever_it_is_asked(
    running: Installation, mode: GenerationMode, signed: bool
) -> None:
    console = f"http://127.0.0.1:{running.console_port}"
    admin = running.cli("key", "issue", "ops", "--scope", "admin").strip()
    header = {"authorization": f"Bearer {admin}"}
    schema = schemathesis.openapi.from_url(f"{console}/api/openapi.json", headers=header)
    headers = header if signed else {}
    conforms = checks_named(*CONFORMS)
    seen: Counter[tuple[str, int]] = Counter()
    for path in ("/api/keys", "/api/limits", "/api/audit"):
        seen += flood(schema, mode, headers, conforms, paths=path)
    print(f"\n{mode.name} signed={signed}: {sum(seen.values())} requests, {dict(seen)}")
    assert sum(seen.values()) > 100
    assert max(status for _, status in seen) < 500
    if not signed:
        assert {status for _, status in seen} <= {400, 401, 422}
    with running.store() as store, store.read() as tx:
        tenants = {k.entry.tenant for k in tx.key_records()}
    if signed:
        assert len(tenants) >= 2
    assert ask(running).status == 200, "the gateway still answers under every table that came"
