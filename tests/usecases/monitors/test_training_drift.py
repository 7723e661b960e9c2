"""Inputs that moved away from the training: in the digest, and nobody is woken."""

from __future__ import annotations

import pytest
from usecases.harness import START, Harness
from usecases.timeline import verdicts

from windvane.usecases.load_windows import WindowCache
from windvane.usecases.replay_decision import replay_decision

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")


def test_drift_from_training_is_for_the_digest(harness: Harness) -> None:
    """Training drift: the inputs changed slowly; nobody is woken, the champion stays."""
    harness.cache = WindowCache()
    for i in range(60):
        harness.traffic(i, warmer=min(i * 0.1, 5.5))
        harness.judge()
    found = verdicts(harness, "training_drift")
    assert [v.start for v in found] == [START + 60.0 * i for i in (19, 39, 59)]
    assert found[-1].outcome == "fail"
    logged = harness.decisions("digest")
    assert logged
    assert logged[0].subject == "Training drift"
    assert replay_decision(logged[0]).same
    assert not [i for i in harness.incidents() if i.kind == "training_drift"]


def test_a_source_that_was_broken_meanwhile_is_not_passed(harness: Harness) -> None:
    for i in range(40):
        harness.traffic(i, nulls=1.0 if 24 <= i < 28 else 0.0)
        harness.judge()
    whole, spoilt = verdicts(harness, "training_drift")
    assert (whole.outcome, whole.code) == ("pass", "DRI-200")
    assert (spoilt.outcome, spoilt.code) == ("hold", "DRI-204")
    assert spoilt.sentence.endswith("broken meanwhile, so not compared: weather")


@pytest.mark.parametrize(("tenant", "code"), [("UA", "DRI-204"), ("ZZ", "DRI-200")])
def test_a_source_that_is_broken_for_one_tenant_is_left_out_if_that_can_matter(
    harness: Harness, tenant: str, code: str
) -> None:
    """One fault had two incidents: the tenant's, and drift of all. ZZ sends nothing."""
    harness.put("1", tenant_broken={tenant: ("weather",)})
    for i in range(20):
        harness.traffic(i)
        harness.judge()
    (found,) = verdicts(harness, "training_drift")
    assert found.code == code
