"""How a model is served, as its file says it: cache, tenants, and what answers in need."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from usecases.harness import FILE

from windvane.core.routing import RuleStep
from windvane.usecases.read_model_file import BadModelFile, ModelFile, read_model_file


def serving(**serve: Any) -> ModelFile:
    """The good file, served as given."""
    return read_model_file(yaml.safe_dump({**yaml.safe_load(FILE), "serve": serve}))


def refusal(**serve: Any) -> tuple[str, str]:
    """What is said, and the hint."""
    with pytest.raises(BadModelFile, match="MOD-101") as raised:
        serving(**serve)
    return raised.value.message, raised.value.advice


# Cache


@pytest.mark.parametrize(
    ("serve", "seconds"),
    [
        ({}, 600.0),
        ({"cache": True}, 600.0),
        ({"cache": False}, 0.0),
        ({"cache": {}}, 600.0),
        ({"cache": {"ttl": "1h"}}, 3600.0),
        ({"cache": {"ttl": "250ms"}}, 0.25),
        ({"cache": {"ttl": "0s"}}, 0.0),
    ],
)
def test_how_long_an_answer_may_be_given_again(serve: dict[str, Any], seconds: float) -> None:
    assert serving(**serve).cache_ttl_s == seconds


@pytest.mark.parametrize(
    ("cache", "said", "hint"),
    [
        ({"ttl": "a while"}, "serve.cache.ttl: 'a while' is not a duration", "model-file.md"),
        ({"ttl": 60}, "serve.cache.ttl", "model-file.md"),
        ({"tll": "1h"}, "tll", "did you mean 'ttl'?"),
        ("1h", "serve.cache", "model-file.md"),
        ([], "serve.cache", "model-file.md"),
        (None, "serve.cache", "model-file.md"),
    ],
)
def test_a_bad_cache_says_so(cache: Any, said: str, hint: str) -> None:
    message, advice = refusal(cache=cache)
    assert said in message
    assert hint in advice


# Tenants


@pytest.mark.parametrize(
    ("serve", "tenants"),
    [({}, []), ({"tenants": []}, []), ({"tenants": ["acme", "é & Söhne"]}, ["acme", "é & Söhne"])],
)
def test_who_may_see_it(serve: dict[str, Any], tenants: list[str]) -> None:
    assert serving(**serve).serve.tenants == tenants


@pytest.mark.parametrize("tenants", ["acme", {"acme": True}, None, [["acme"]], [None]])
def test_tenants_are_a_list_of_names(tenants: Any) -> None:
    message, _ = refusal(tenants=tenants)
    assert "serve.tenants" in message


# Fallback


def test_versions_a_rule_and_a_constant_make_a_chain() -> None:
    steps = [{"feature": "distance", "above": 900, "give": 0.5}, {"give": 0.25}]
    file = serving(fallback=["previous", {"version": 3}, {"without": "weather"}, {"rule": steps}])
    assert file.rule == (RuleStep((0.5,), "distance", above=900.0), RuleStep((0.25,)))
    assert file.constant is None
    file = serving(fallback=[{"version": "3"}, {"constant": 1}])
    assert (file.rule, file.constant) == ((), (1.0,))


def test_a_rule_may_ask_for_any_feature() -> None:
    rule = [
        {"feature": "distance", "above": 100, "below": 200.5, "give": 0},
        {"feature": "carrier", "among": ["dl", "b6"], "give": 1},
        {"feature": "temp", "below": 0, "give": 0.5},
    ]
    assert serving(fallback=[{"rule": rule}]).rule == (
        RuleStep((0.0,), "distance", above=100.0, below=200.5),
        RuleStep((1.0,), "carrier", among=("dl", "b6")),
        RuleStep((0.5,), "temp", below=0.0),
    )


@pytest.mark.parametrize(
    ("step", "said", "hint"),
    [
        ({"give": 1.5}, "give: 1.5 is no probability", ""),
        ({"give": -0.1}, "give: -0.1 is no probability", ""),
        ({"give": float("nan")}, "give: nan is no probability", ""),
        ({"give": "high"}, "'high' is no probability", "give a number from 0 to 1"),
        ({"give": True}, "True is no probability", "give a number"),
        ({}, "[0].give: a value is needed", "for example"),
        ({"feature": "distance", "above": 1}, "[0].give: a value is needed", "for example"),
        (0.5, "[0]: a mapping of give, feature", "for example"),
        ({"feature": "distnace", "above": 1, "give": 0.5},
         "there is no feature 'distnace'", "did you mean 'distance'?"),
        ({"feature": "distance", "abov": 1, "give": 0.5},
         "[0].abov: there is no", "did you mean 'above'?"),
        ({"feature": "distance", "above": "far", "give": 0.5},
         "[0].above: a number", "for example"),
        ({"feature": "carrier", "above": 1, "give": 0.5},
         "carrier is a category", "`among: [...]` names values"),
        ({"feature": "carrier", "below": 1, "among": ["dl"], "give": 0.5},
         "carrier is a category", "`among: [...]` names values"),
        ({"feature": "carrier", "among": "dl", "give": 0.5},
         "[0].among: a list is needed", "for example"),
        ({"feature": "distance", "among": ["far"], "give": 0.5},
         "distance is a number", "`above` and `below`"),
        # would give to every row, or look at nothing
        ({"above": 5, "give": 0.5}, "above needs a feature", "`feature: NAME`"),
        ({"among": ["dl"], "give": 0.5}, "among needs a feature", "`feature: NAME`"),
        ({"feature": "distance", "give": 0.5}, "distance has no bound", "`above`, `below` or"),
        ({"feature": "distance", "above": None, "give": 0.5}, "has no bound", "`above`"),
        ({"feature": "carrier", "among": [], "give": 0.5}, "carrier has no bound", "`among"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_work_names_the_step(step: Any, said: str, hint: str) -> None:
    message, advice = refusal(fallback=[{"rule": [step]}])
    assert message.startswith("serve.fallback: rule: ")
    assert said in message
    assert hint in advice


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("rule", "'rule' is not known"),
        ({"rule": {"give": 0.5}}, "is not known"),
        ({"rule": [], "constant": 0.2}, "is not known"),
        ({"version": None}, "is not known"),
        ({"version": 1.5}, "is not known"),
        ({"version": "1", "give": 0.5}, "is not known"),
        ({}, "{} is not known"),
        (None, "None is not known"),
    ],
)
def test_an_unknown_step_lists_the_known(step: Any, said: str) -> None:
    message, advice = refusal(fallback=["previous", step])
    assert message.startswith("serve.fallback: ")
    assert said in message
    assert advice == "`previous`, {version: N}, {without: VIEW}, {rule: [...]} or {constant: VALUE}"


@pytest.mark.parametrize("value", [1.01, -0.1, float("nan"), "high", True, None, [0.5]])
def test_a_constant_is_what_the_task_gives(value: Any) -> None:
    message, advice = refusal(fallback=[{"constant": value}])
    assert message.startswith("serve.fallback: constant: ")
    assert "is no probability" in message
    assert advice == "give a number from 0 to 1"


@pytest.mark.parametrize("step", [{"rule": [{"give": 0.5}]}, {"constant": 0.5}])
def test_what_would_never_be_reached_is_refused(step: dict[str, Any]) -> None:
    message, _ = refusal(fallback=[step, step])
    (word,) = step
    assert message == f"serve.fallback: {word} is there twice"


BOUNDS = st.none() | st.floats() | st.text(max_size=3)
STEPS = st.fixed_dictionaries(
    {},
    optional={
        "give": st.floats() | st.booleans() | st.none(),
        "feature": st.sampled_from(["distance", "carrier", "temp", "", "other"]) | st.integers(),
        "above": BOUNDS, "below": BOUNDS,
        "among": st.none() | st.lists(st.text(max_size=2), max_size=2),
        "more": st.none(),
    },
)  # fmt: skip


@given(st.lists(STEPS, max_size=3))
def test_any_rule_is_read_or_ours_to_explain(steps: list[dict[str, Any]]) -> None:
    try:
        found: ModelFile | BadModelFile = serving(fallback=[{"rule": steps}])
    except BadModelFile as error:
        found = error
    if isinstance(found, BadModelFile):
        assert found.message.startswith("serve.fallback: rule: ")
        return
    assert len(found.rule) == len(steps)
    assert all(0.0 <= step.give[0] <= 1.0 for step in found.rule)
    assert all(bool(step.feature) or step == RuleStep(step.give) for step in found.rule)
