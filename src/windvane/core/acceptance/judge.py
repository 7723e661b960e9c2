"""Judge a trained candidate before it may ever see traffic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from windvane.core.task import Quality
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
    """Each pair holds the trained model's outputs and the served ones', (n, ...) each. An
    output that is not a number on one side only differs without bound."""
    apart = [_apart(one, other) for one, other in (rows, probes)]
    labels = [_changed(one, other) for one, other in (rows, probes)]
    worst_of = [float(gaps.max()) if len(gaps) else 0.0 for gaps in apart]
    return ParityReport(
        rows=len(rows[0]),
        max_difference=worst_of[0],
        probes=len(probes[0]),
        probe_max_difference=worst_of[1],
        moved=sum(int((gaps > tolerance).sum()) for gaps in apart),
        changed_labels=sum(labels),
    )


def _changed(one: NDArray[np.float64], other: NDArray[np.float64]) -> int:
    """Rows with another label: the likeliest of several classes, or the side of one half."""
    if not len(one):
        return 0
    if one.ndim == 2 and one.shape[1] > 1:
        return int((one.argmax(axis=1) != other.argmax(axis=1)).sum())
    return int(((one >= 0.5) != (other >= 0.5)).reshape(len(one), -1).any(axis=1).sum())


def _apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    gaps = np.abs(one - other)
    gaps[np.isnan(one) & np.isnan(other)] = 0.0
    gaps[np.isnan(gaps)] = np.inf
    return gaps.reshape(len(gaps), -1).max(axis=1) if gaps.size else np.zeros(len(gaps))


@dataclass(frozen=True, slots=True)
class CandidateFacts:
    """What is known of a candidate.

    ``quality`` on the holdout; ``naive`` is what the best constant answer has of the metric.
    ``against_champion``: the mean of what a row costs more than with the champion, on the same
    rows, as a quality of its own (smaller is better); None without a champion. ``parity`` is
    None where it is served as it came, so that there is nothing to compare.
    """

    rows: int
    duplicate_rows: int
    quality: Quality
    naive: float | None
    parity: ParityReport | None
    against_champion: Quality | None = None


@dataclass(frozen=True, slots=True)
class AcceptancePolicy:
    """``floor``: the least good value of the task's metric; None for better than the best
    constant. ``alpha``: the level of the bounds that have to clear it."""

    min_rows: int = 1_000
    floor: float | None = None
    parity_tolerance: float = 1e-5
    alpha: float = 0.05
    revision: int = 2


def judge_candidate(facts: CandidateFacts, policy: AcceptancePolicy, now: float) -> Verdict:
    """The worst of its checks: enough rows, good enough beyond sampling error, no worse than the
    champion, converted faithfully if at all."""
    del now
    checks = [
        _check(
            facts.rows >= policy.min_rows,
            "ACC-501",
            f"{facts.rows:,} training rows, {policy.min_rows:,} needed",
        ),
        _good_enough(facts, policy),
    ]
    against = facts.against_champion
    if against is not None and not against.missing:
        checks.append(
            _check(
                against.lower <= 0.0,
                "ACC-504",
                f"a row costs {against.value:+.3g} ({against.lower:+.3g} to {against.upper:+.3g}) "
                f"more than with the champion, n={against.rows:,}",
            )
        )
    parity = facts.parity
    if parity is not None:
        checks.append(
            _check(
                parity.moved == 0 and parity.max_difference <= policy.parity_tolerance,
                "ACC-503",
                f"what is served differs by {parity.max_difference:.2g} on {parity.rows:,} rows "
                f"and by {parity.probe_max_difference:.2g} on {parity.probes:,} probes "
                f"around splits, {policy.parity_tolerance:.2g} allowed",
            )
        )
    return worst(checks)


def _good_enough(facts: CandidateFacts, policy: AcceptancePolicy) -> Verdict:
    quality = facts.quality
    floor = facts.naive if policy.floor is None else policy.floor
    if floor is None:
        return Verdict(Outcome.PASS, "ACC-502", f"{quality.metric} is not judged")
    word = "the best constant has" if policy.floor is None else "needed is"
    name = quality.metric.upper() if len(quality.metric) <= 4 else quality.metric
    sides = (
        f"holdout {name} {quality.value:.3f} ({quality.lower:.3f} to {quality.upper:.3f}, "
        f"n={quality.rows:,}), {word} {floor:.3f}"
    )
    if quality.missing:
        return Verdict(Outcome.FAIL, "ACC-502", f"{sides}; missing: {quality.missing}")
    return _check(quality.at_least(floor), "ACC-502", sides)


def _check(held: bool, code: str, sentence: str) -> Verdict:
    return Verdict(Outcome.PASS if held else Outcome.FAIL, code, sentence)
