"""No number in a model's file or the settings is a stack trace, or goes on unbounded."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import docs.documented as d
import pytest
import yaml
from event_rows import predicted_event

from windvane.core.task import make_task
from windvane.usecases.check_event import EventOutOfRange, check_event
from windvane.usecases.monitors import watch_policy
from windvane.usecases.read_model_file import BadModelFile, ModelFile, read_model_file
from windvane.usecases.read_settings import BadReference, BadSettings, Settings, read_settings

NINES = "9" * 400
EXTREME = [
    NINES, "9" * 4_200, "9" * 5_000, "-" + NINES, "1e400", "1e308", "-1e308", ".inf", "-.inf",
    ".nan",
    "0", "-1", f"{NINES}s", f"{NINES}%", "nan%", "1e400%", f"{NINES} per week", "999999999999w",
    f"[{NINES}]", f"[1, {NINES}]", f"{{a: {NINES}}}", f"{{a: [{'9' * 4_200}, {'9' * 4_200}]}}",
    f"{{floor: {NINES}}}", "{values: 1e308}", f"[{{constant: {NINES}}}]", "[{constant: 1e400}]",
    f"[{{rule: [{{give: 0.2, feature: f, above: {NINES}}}, {{give: 0.1}}]}}]",
]  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "binary": {}, "regression": {}, "ranking": {}, "multiclass": {"classes": ["a", "b", "c"]},
    "tensor": {"outputs": {"e": [4]}},
}  # fmt: skip


def model_file(kind: str, key: str, value: str) -> str:
    """A small file of a kind with ``value`` in the place of ``key``."""
    body: dict[str, Any] = {
        "model": "tiny",
        "features": {"v": {"f": {"type": "number"}, "g": {"type": "category"}}},
        "predicts": {"kind": kind, **KINDS[kind]},
    }
    place = body
    *outer, last = key.replace("VIEW", "v").replace("NAME", "f").split(".")
    for name in outer:
        held = place.get(name)
        place[name] = place = held if isinstance(held, dict) else {}
    place[last] = "PLACE"
    return yaml.safe_dump(body).replace("PLACE", value)


def use(file: ModelFile) -> None:
    """All that is made of a file whenever a window is judged or a table published."""
    task = make_task(file.contract.task)
    policy = watch_policy(file, models=3, tenants=2)
    for number in (policy.window_s, policy.recent_s, policy.drift_over_s, file.cache_ttl_s):
        assert math.isfinite(number)
    assert task
    assert [file.schema, file.respond, file.circuit, file.cascade, file.constant, file.rule]


@pytest.mark.parametrize("kind", KINDS)
def test_any_number_in_a_model_file_is_taken_or_refused_in_words(kind: str) -> None:
    taken = 0
    for key in d.keys_of(ModelFile):
        for value in EXTREME:
            try:
                use(read_model_file.__wrapped__(model_file(kind, key, value)))
                taken += 1
            except BadModelFile:
                continue
    assert taken


def test_any_number_in_the_settings_is_taken_or_refused_in_words(tmp_path: Path) -> None:
    for key in d.keys_of(Settings):
        outer, *inner = key.split(".")
        for value in [*EXTREME[:12], "2024-99-99", "[" * 200, "&a [*a]"]:
            text = f"{outer}: " + "".join(f"{{{n}: " for n in inner) + value + "}" * len(inner)
            try:
                held = getattr(read_settings(text, tmp_path), outer)
            except (BadSettings, BadReference):
                continue
            if isinstance(held, int | float):
                assert math.isfinite(held)
                assert abs(held) <= 1 << 50


def test_aliases_in_the_settings_are_counted_as_often_as_they_are_used(tmp_path: Path) -> None:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x,x]"]
    for one, next_ in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{next_}: &{next_} [" + ",".join([f"*{one}"] * 10) + "]")
    with pytest.raises(BadSettings, match="100,000 values"):
        read_settings("\n".join(lines), tmp_path)
    with pytest.raises(BadSettings, match="characters"):
        read_settings("a: " + "x" * (1 << 20), tmp_path)


@pytest.mark.parametrize("at", [-1.0, 4.2e9, 1e12, math.inf, math.nan])
def test_no_clock_brings_a_time_into_the_log_that_no_calendar_has(at: float) -> None:
    """Gateway and recorder may share a clock that is wrong."""
    event = predicted_event("e", at, "tiny", "AA", "c", values=[1.0], outputs=[0.5])
    with pytest.raises(EventOutOfRange):
        check_event(event, at)
