"""What libraries say of their failures, as one sentence for people."""

from __future__ import annotations

import pytest

from windvane.inference.failures import sentence_of

XGBOOST = """[17:01:59] /workspace/src/encoder/./ordinal.h:241: Found a category not in the training set
Stack trace:
  [bt] (0) /opt/venv/lib/python3.11/site-packages/xgboost/lib/libxgboost.so(+0x2a6a2c) [0x7f4]
  [bt] (1) /opt/venv/lib/python3.11/site-packages/xgboost/lib/libxgboost.so(+0x1f) [0x7f5]
"""  # noqa: E501


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (XGBOOST, "ValueError: Found a category not in the training set"),
        ("catboost/libs/data/features.cpp:36: Bad value for num_feature[1]=\"x\"",
         "ValueError: Bad value for num_feature[1]=\"x\""),
        ("Check failed: a < b (3 vs. 2) : too many at C:\\\\build\\\\src\\\\gbm.cc(12): stop",
         "ValueError: Check failed: a < b (3 vs. 2) : too many stop"),
        ("mat1 and mat2 shapes cannot be multiplied\nException raised from mm at /pytorch/x.cpp:9",
         "ValueError: mat1 and mat2 shapes cannot be multiplied"),
        ("X has 3 features,\n  but 2 are expected",
         "ValueError: X has 3 features, but 2 are expected"),
        ("", "ValueError"),
        ("a/b ratio must be > 0: got h.x", "ValueError: a/b ratio must be > 0: got h.x"),
    ],
)  # fmt: skip
def test_traces_times_and_places_in_the_makers_source_are_left_out(
    text: str, sentence: str
) -> None:
    assert sentence_of(ValueError(text)) == sentence


def test_a_long_text_is_cut() -> None:
    said = sentence_of(ValueError("word " * 100_000))
    assert len(said) < 600
    assert said.endswith("…")
