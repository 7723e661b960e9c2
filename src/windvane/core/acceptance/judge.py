"""Judge a trained candidate before it may ever see traffic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from windvane.core.verdict import Outcome, Verdict, worst


@dataclass(frozen=True, slots=True)
class ParityReport:
    """The converted model against the trained one, on real rows and around every split.

    Differences are absolute, in units of the output; ``moved`` counts the rows and probes
    whose outputs differ by more than the policy's tolerance, ``changed_labels`` those that
    fall on the other side of 0.5.
    """

    rows: int
    max_difference: float
    probes: int
    probe_max_difference: float
    moved: int
    changed_labels: int = 0


def compare_outputs(
    rows: tuple[NDArray[np.float64], NDArray[np.float64]],
    probes: tuple[NDArray[np.float64], NDArray[np.float64]],
    tolerance: float,
) -> ParityReport:
    """Each pair holds the trained model's outputs and the converted one's, (n,) each. An
    output that is not a number on one side only differs without bound."""
    apart = [_apart(one, other) for one, other in (rows, probes)]
    labels = [int(((one >= 0.5) != (other >= 0.5)).sum()) for one, other in (rows, probes)]
    worst_of = [float(gaps.max()) if len(gaps) else 0.0 for gaps in apart]
    return ParityReport(
        rows=len(rows[0]),
        max_difference=worst_of[0],
        probes=len(probes[0]),
        probe_max_difference=worst_of[1],
        moved=sum(int((gaps > tolerance).sum()) for gaps in apart),
        changed_labels=sum(labels),
    )


def _apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    gaps = np.abs(one - other)
    gaps[np.isnan(one) & np.isnan(other)] = 0.0
    gaps[np.isnan(gaps)] = np.inf
    return gaps


@dataclass(frozen=True, slots=True)
class CandidateFacts:
    """What is known of a candidate. ``parity`` is None where it is served as it came, so that
    there is nothing to compare."""

    rows: int
    duplicate_rows: int
    holdout_auc: float
    parity: ParityReport | None


@dataclass(frozen=True, slots=True)
class AcceptancePolicy:
    min_rows: int = 1_000
    auc_floor: float = 0.6
    parity_tolerance: float = 1e-5
    revision: int = 1


def judge_candidate(facts: CandidateFacts, policy: AcceptancePolicy, now: float) -> Verdict:
    """The worst of its checks: enough rows, good enough, converted faithfully if at all."""
    del now
    checks = [
        _check(
            facts.rows >= policy.min_rows,
            "ACC-501",
            f"{facts.rows:,} training rows, {policy.min_rows:,} needed",
        ),
        _check(
            facts.holdout_auc >= policy.auc_floor,
            "ACC-502",
            f"holdout AUC {facts.holdout_auc:.3f}, floor {policy.auc_floor:.3f}",
        ),
    ]
    parity = facts.parity
    if parity is not None:
        checks.append(
            _check(
                parity.moved == 0 and parity.max_difference <= policy.parity_tolerance,
                "ACC-503",
                f"ONNX differs by {parity.max_difference:.2g} on {parity.rows:,} rows "
                f"and by {parity.probe_max_difference:.2g} on {parity.probes:,} probes "
                f"around splits, {policy.parity_tolerance:.2g} allowed",
            )
        )
    return worst(checks)


def _check(held: bool, code: str, sentence: str) -> Verdict:
    return Verdict(Outcome.PASS if held else Outcome.FAIL, code, sentence)
