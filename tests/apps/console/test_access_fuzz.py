"""Whatever the control API is asked, as whoever: no fault, and nothing that the role may not."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
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


ROLES = ("", "viewer", "operator", "approver", "admin")


@dataclass
class Visitor:
    """Of one role, in a world of its own; and how often each status was answered."""

    role: str
    world: World
    seen: Counter[int] = field(default_factory=Counter[int])

    def __post_init__(self) -> None:
        grants = [self.role] if self.role else []
        issued = issue_keys(
            self.world.store, self.world.clock, ["k"], "k", scopes=["predict"], grants=grants
        )
        self.headers = {"authorization": f"Bearer {issued['k']}"} if self.role else {}

    def may(self, action: Action | None) -> bool:
        return action is None or (bool(self.role) and action in ACTIONS_OF[Role(self.role)])

    def ask(self, case: Any, *, allowed: bool) -> None:
        answer = case.call(headers=self.headers, app=self.world.app)
        self.seen[answer.status_code] += 1
        said = (self.role, case.as_curl_command(), answer.text)
        assert answer.status_code < 500, said
        if not allowed:
            refusal = 403 if self.role else 401
            assert answer.status_code in {refusal, 404, 405}, said


@pytest.fixture
def visitors(migrated_file: Path, tmp_path: Path) -> Iterator[list[Visitor]]:
    found: list[Visitor] = []
    for role in ROLES:
        path = tmp_path / f"{role or 'nobody'}.db"
        shutil.copy(migrated_file, path)
        found.append(Visitor(role, World(SqlControlStore(f"sqlite:///{path}"))))
    yield found
    for visitor in found:
        visitor.world.store.close()


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
def test_whatever_it_is_asked(visitors: list[Visitor], mode: GenerationMode) -> None:
    """Each case of every visitor: to make it takes much longer than to ask it."""
    world = visitors[-1].world
    admin = issue_keys(world.store, world.clock, ["a"], "a", scopes=["admin"])["a"]
    schema = schemathesis.openapi.from_asgi(
        "/api/openapi.json", world.app, headers={"authorization": f"Bearer {admin}"}
    )
    needed = actions(world)
    for found in schema.get_all_operations():
        operation = found.ok()
        _flood(operation, mode, visitors, needed[operation.method.upper(), operation.path])
    for visitor in visitors:
        assert sum(visitor.seen.values()) > 100
        if mode is GenerationMode.POSITIVE:
            assert 200 in visitor.seen, visitor.role


def _flood(
    operation: Any, mode: GenerationMode, visitors: Sequence[Visitor], action: Action | None
) -> None:
    @settings(
        max_examples=EXAMPLES, database=None, deadline=None, derandomize=True,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def asked(case: Any) -> None:
        for visitor in visitors:
            visitor.ask(case, allowed=visitor.may(action))

    with contextlib.suppress(Unsatisfiable):  # nothing that is wrong can be sent to it
        asked()
