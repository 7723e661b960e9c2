"""Most tenants may be bad, and so small that nobody sees them in the sum."""

from __future__ import annotations

import pytest

from windvane.core.verdict import Outcome, RateState, Verdict
from windvane.usecases.monitors.base import Judged
from windvane.usecases.monitors.rates import TenantCounts, judge_tenants


def judge(subject: str, counts: TenantCounts, before: RateState) -> Judged:
    del before
    bad, good = (sum(both[i] for both in counts.values()) for i in (0, 1))
    after = RateState(alarmed=bad > 0.02 * (bad + good))
    verdict = Verdict(Outcome.FAIL if after.alarmed else Outcome.PASS, "X-1", "")
    return Judged(subject, None, None, verdict, states={subject: after})


@pytest.mark.parametrize(
    ("counts", "failed"),
    [
        ({"a": (0, 2_400), "b": (20, 0), "c": (20, 0)}, {"b", "c"}),
        ({"a": (240, 2_160), "b": (20, 0), "c": (20, 0)}, {""}),
        ({"a": (0, 2_400), "b": (20, 0), "c": (0, 20)}, {"b"}),
    ],
    ids=["two small ones", "everyone", "one"],
)
def test_whoever_is_bad_is_told_of_by_somebody(counts: TenantCounts, failed: set[str]) -> None:
    judged = judge_tenants(counts, RateState(), {}, 0.02, judge)
    assert {one.subject for one in judged if one.verdict.failed} == failed
