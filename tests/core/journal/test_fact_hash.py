"""Hashes and keys of decisions: equal for equal facts, on every machine and in every order."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.journal import Decision, fact_hash, outbox_key
from windvane.core.verdict import Outcome, Verdict

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("body", "digest"),
    [({}, "44136fa355b3678a"), ({"alpha": 0.05, "n": [1, None, "é"]}, "10930c24aa14bbcf")],
)
def test_hashes_are_pinned(body: Any, digest: str) -> None:
    """A stored policy version must be found again by a later release."""
    assert fact_hash(body) == digest


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_order_does_not_matter(body: dict[str, Any]) -> None:
    assert fact_hash(dict(reversed(list(body.items())))) == fact_hash(body)
    assert fact_hash(json.loads(json.dumps(body))) == fact_hash(body)


@given(JSON, JSON)
def test_other_facts_have_another_hash(one: Any, two: Any) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
    assert (fact_hash(one) == fact_hash(two)) == same


def test_a_decisions_policy_version_follows_its_policy() -> None:
    verdict = Verdict(Outcome.PASS, "X-1", "said")
    one = Decision("d", "m", "j", "s", "a", 1.0, {"a": 1, "b": 2}, {"n": 1}, verdict)
    two = Decision("e", "m", "j", "s", "a", 2.0, {"b": 2, "a": 1}, {"n": 9}, verdict)
    assert one.policy_version == two.policy_version == fact_hash({"a": 1, "b": 2})
    assert one.policy_version != fact_hash({"a": 1, "b": 3})


def test_outbox_keys_are_unique_within_a_decision() -> None:
    keys = [outbox_key("delay/step-1", i) for i in range(12)]
    assert keys[0] == "delay/step-1#0"
    assert len(set(keys)) == 12
    assert outbox_key("delay/step-1", 10) != outbox_key("delay/step-11", 0)
