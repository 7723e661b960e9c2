"""Whatever the control API is asked, as whoever: no fault, and nothing that the role may not."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from apps.console.visitors import World
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from windvane.adapters.sql import SqlControlStore
from windvane.apps.console.access import GuardedRoute
from windvane.core.authorization import ACTIONS_OF, Action, Role
from windvane.usecases.issue_key import issue_keys

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
EXAMPLES = 12


@pytest.fixture
def world(migrated_file: Path, tmp_path: Path) -> Iterator[World]:
    shutil.copy(migrated_file, tmp_path / "control.db")
    store = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
    yield World(store)
    store.close()


def actions(world: World) -> dict[tuple[str, str], Action | None]:
    """Of every operation of the schema; None where strangers may ask."""
    found: dict[tuple[str, str], Action | None] = {}

    def walk(given: Any) -> None:
        for route in given:
            inner = getattr(route, "original_router", None)
            if inner is not None:
                walk(inner.routes)
            elif isinstance(route, GuardedRoute | APIRoute) and route.include_in_schema:
                needs = route.needs  # type: ignore[union-attr]
                for method in route.methods:
                    path = re.sub(r":\w+}", "}", route.path)
                    found[method, path] = None if needs.public else needs.action

    walk(world.app.routes)
    return found


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("role", ["", "viewer", "operator", "approver", "admin"])
def test_whatever_it_is_asked(world: World, role: str, mode: GenerationMode) -> None:
    scopes, grants = ["predict"], [role] if role else []
    key = issue_keys(world.store, world.clock, ["k"], "k", scopes=scopes, grants=grants)["k"]
    admin = issue_keys(world.store, world.clock, ["a"], "a", scopes=["admin"])["a"]
    schema = schemathesis.openapi.from_asgi(
        "/api/openapi.json", world.app, headers={"authorization": f"Bearer {admin}"}
    )
    headers = {"authorization": f"Bearer {key}"} if role else {}
    needed, seen = actions(world), Counter[int]()
    for found in schema.get_all_operations():
        operation = found.ok()
        action = needed[operation.method.upper(), operation.path]
        allowed = action is None or (bool(role) and action in ACTIONS_OF[Role(role)])
        _flood(operation, mode, headers, allowed, seen)
    assert sum(seen.values()) > 100
    if mode is GenerationMode.POSITIVE:
        assert 200 in seen


def _flood(
    operation: Any, mode: GenerationMode, headers: dict[str, str], allowed: bool, seen: Counter[int]
) -> None:
    wanted = {403, 404, 405} if headers else {401, 404, 405}

    @settings(
        max_examples=EXAMPLES, database=None, deadline=None, derandomize=True,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def asked(case: Any) -> None:
        answer = case.call(headers=headers)
        seen[answer.status_code] += 1
        assert answer.status_code < 500, (case.as_curl_command(), answer.text)
        if not allowed:
            assert answer.status_code in wanted, (case.as_curl_command(), answer.text)

    with contextlib.suppress(Unsatisfiable):  # nothing that is wrong can be sent to it
        asked()
