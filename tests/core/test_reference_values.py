"""Our statistics against values that somebody else computed; see reference_statistics.json."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from scipy.integrate import quad

from windvane.core.statistics import asymptotic_radius, log_staged_evidence
from windvane.core.verdict import log_conditional_evidence

VALUES: dict[str, Any] = json.loads(
    Path(__file__).with_name("reference_statistics.json").read_text()
)


@pytest.mark.parametrize("row", VALUES["one_sided_truncated_beta"]["rows"])
def test_one_sided_truncated_beta(row: dict[str, float]) -> None:
    log_e = log_conditional_evidence(
        int(row["candidate"]), int(row["primary"]), row["share"], row["ratio"], k=10.0
    )
    assert math.exp(log_e) == pytest.approx(row["e"], rel=1e-9)


def test_staged_two_sided() -> None:
    stages = [(int(c), int(p), float(w)) for c, p, w in VALUES["staged_two_sided"]["stages"]]
    e = math.exp(log_staged_evidence(stages, two_sided=True))
    assert e == pytest.approx(VALUES["staged_two_sided"]["e"], rel=1e-6)


@pytest.mark.parametrize(("n", "radius"), VALUES["asymptotic_radius"]["rows"].items())
def test_asymptotic_radius(n: str, radius: float) -> None:
    given = VALUES["asymptotic_radius"]
    found = asymptotic_radius(float(n), 1.0, given["alpha"], given["best_at"])
    assert found == pytest.approx(radius, rel=1e-9)


@pytest.mark.parametrize("ratio", [1.0, 1.5])
def test_staged_one_sided_against_a_quadrature(ratio: float) -> None:
    """An independent integral of the same mixture, over theta > ln ratio."""
    stages = [(2, 38, 0.05), (6, 30, 0.10), (20, 40, 0.25)]
    low = math.log(ratio)

    def likelihood(theta: float) -> float:
        total = 0.0
        for candidate, primary, share in stages:
            for point, sign in ((theta, 1.0), (low, -1.0)):
                odds = share * math.exp(point)
                q = odds / (odds + 1.0 - share)
                total += sign * (candidate * math.log(q) + primary * math.log1p(-q))
        return math.exp(total)

    def prior(theta: float) -> float:
        return math.exp(-0.5 * theta * theta)

    above, _ = quad(lambda t: prior(t) * likelihood(t), low, 8.0, limit=200)
    mass, _ = quad(prior, low, 16.0)
    found = math.exp(log_staged_evidence(stages, ratio=ratio))
    assert found == pytest.approx(above / mass, rel=1e-5)


def test_a_first_look_has_no_evidence() -> None:
    assert log_conditional_evidence(0, 0, 0.1) == 0.0
    assert log_staged_evidence([]) == pytest.approx(0.0, abs=1e-12)
    assert log_staged_evidence([(0, 0, 0.1)]) == pytest.approx(0.0, abs=1e-12)
