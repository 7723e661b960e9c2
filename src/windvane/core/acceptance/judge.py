"""Judge a trained candidate before it may ever see traffic."""

from __future__ import annotations

from dataclasses import dataclass

from windvane.core.verdict import Outcome, Verdict, worst


@dataclass(frozen=True, slots=True)
class ParityReport:
    """The converted model against the trained one, on real rows and around every split.

    Differences are absolute, in units of the output; ``moved`` counts the probes whose
    outputs differ by more than the policy's tolerance.
    """

    rows: int
    max_difference: float
    probes: int
    probe_max_difference: float
    moved: int


@dataclass(frozen=True, slots=True)
class CandidateFacts:
    rows: int
    duplicate_rows: int
    holdout_auc: float
    parity: ParityReport


@dataclass(frozen=True, slots=True)
class AcceptancePolicy:
    min_rows: int = 1_000
    auc_floor: float = 0.6
    parity_tolerance: float = 1e-5
    revision: int = 1


def judge_candidate(facts: CandidateFacts, policy: AcceptancePolicy, now: float) -> Verdict:
    """The worst of three checks: enough rows, good enough, converted faithfully."""
    del now
    return worst(
        [
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
            _check(
                facts.parity.moved == 0 and facts.parity.max_difference <= policy.parity_tolerance,
                "ACC-503",
                f"ONNX differs by {facts.parity.max_difference:.2g} on {facts.parity.rows:,} rows "
                f"and by {facts.parity.probe_max_difference:.2g} on {facts.parity.probes:,} probes "
                f"around splits, {policy.parity_tolerance:.2g} allowed",
            ),
        ]
    )


def _check(held: bool, code: str, sentence: str) -> Verdict:
    return Verdict(Outcome.PASS if held else Outcome.FAIL, code, sentence)
