"""Values of requests: none for viewers, those of persons for nobody."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from windvane.core.authorization import HIDDEN, bin_labels, redact_evidence

SECRET = "s3cret-value"
PLACES = st.sampled_from(["features", "unit", "sample", "message", "outputs", "explanation"])


def evidence(place: str) -> dict[str, Any]:
    row: dict[str, Any] = {"ts": 1.0, "tenant": "acme", "code": "CON-1", "features": {"x": 1.0}}
    row[place] = {"email": SECRET} if place in ("features", "outputs", "explanation") else SECRET
    return {"samples": [row, "no row"], "suspects": [{"feature": "x", "size": 1.0}]}


@given(PLACES, st.booleans())
def test_nothing_of_a_request_is_left_without_the_right_to_see_it(place: str, tagged: bool) -> None:
    pii = {"email"} if tagged else set[str]()
    shown = redact_evidence(evidence(place), pii=pii, values=False)
    assert SECRET not in json.dumps(shown)
    assert shown["samples"][0]["tenant"] == "acme"
    assert shown["suspects"] == [{"feature": "x", "size": 1.0}]


@given(st.sampled_from(["features", "unit", "sample", "message"]))
def test_what_is_personal_is_left_for_nobody(place: str) -> None:
    shown = redact_evidence(evidence(place), pii={"email"}, values=True, unit="email")
    assert SECRET not in json.dumps(shown)
    assert HIDDEN in json.dumps(shown)
    whole = redact_evidence(evidence(place), pii=(), values=True)
    assert SECRET in json.dumps(whole)


def test_a_missing_value_stays_missing_and_others_stay() -> None:
    given = {"samples": [{"features": {"email": None, "x": 2.5}}]}
    shown = redact_evidence(given, pii={"email"}, values=True)
    assert shown["samples"] == [{"features": {"email": None, "x": 2.5}}]


def test_bins_of_a_category_are_values_too() -> None:
    labels = ["null", "ada", "bob", "unseen"]
    assert bin_labels(labels, "email", {"email"}) == ["null", "bin 1", "bin 2", "bin 3"]
    assert bin_labels(labels, "kind", {"email"}) == labels
    drawn = {"histograms": [{"feature": "email", "labels": labels, "before": [1, 2, 3, 4]}]}
    shown = redact_evidence(drawn, pii={"email"}, values=True)
    assert "ada" not in json.dumps(shown)
    assert shown["histograms"][0]["before"] == [1, 2, 3, 4]


def test_from_what_to_what_a_personal_feature_went_is_not_shown() -> None:
    change = {"feature": "email", "nulls": [0.0, 0.5], "psi": 0.3, "tv": 0.2,
              "names": [["ada", 0.1, 0.9]], "beyond": [["under 1815", 0.0, 0.5]]}  # fmt: skip
    other = {"feature": "age", "nulls": [0.0, 0.0], "quartiles": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]}
    shown = redact_evidence({"changes": [change, other]}, pii={"email"}, values=False)
    assert "ada" not in json.dumps(shown)
    assert "1815" not in json.dumps(shown)
    assert shown["changes"][0]["psi"] == 0.3
    assert shown["changes"][1] == other


@given(st.recursive(st.none() | st.integers() | st.text(max_size=5),
                    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=5), x,
                                                                        max_size=3)))  # fmt: skip
def test_evidence_of_any_shape_can_be_shown(body: Any) -> None:
    given = {"samples": body, "histograms": body, "kinds": body, "changes": body}
    redact_evidence(given, pii={"email"}, values=True)
    redact_evidence(given, pii=(), values=False)
