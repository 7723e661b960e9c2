"""What the profile proposes is a command that is not refused for what it lacks."""

from __future__ import annotations

from typing import Any

import pytest

from windvane.apps.trainer.profile import best_of
from windvane.core.execution import Latency, Option
from windvane.usecases.profile_version import AS_SERVED, VersionProfile


def profile(best: str, moved: int = 0) -> VersionProfile:
    latency = Latency(1e-6, None, 1e-6, 1e-6, 1e-6, 1)
    options = tuple(Option(name, 1, 1, latency, 0, 9, 0.0, moved) for name in (AS_SERVED, best))
    given: dict[str, Any] = dict.fromkeys(VersionProfile.__dataclass_fields__)
    return VersionProfile(**{**given, "model": "m", "version": "1", "best": best,
                             "options": options})  # fmt: skip


@pytest.mark.parametrize(
    ("best", "moved", "sentence"),
    [
        (AS_SERVED, 0, "best: as it is served"),
        ("version 2", 0, "best: version 2; next: windvane deploy m 2"),
        ("fp32", 0, "best: fp32; next: windvane optimize m:1 --fp32 …"),
        ("fp16", 3, "best: fp16; next: windvane optimize m:1 --fp16 --accept REASON …"),
        ("prune", 0, "best: prune; next: windvane optimize m:1 --prune --accept REASON …"),
        ("int8", 0, "best: int8; next: windvane optimize m:1 --int8 --accept REASON …"),
    ],
)
def test_the_next_command_signs_what_differs(best: str, moved: int, sentence: str) -> None:
    assert best_of(profile(best, moved)) == sentence
