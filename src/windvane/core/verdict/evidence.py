"""Evidence that may be looked at after every observation: e-values and e-detectors.

An e-value is a non-negative statistic whose mean is at most 1 under the null
hypothesis. By Ville's inequality a product of conditional e-values exceeds
``1 / alpha`` with probability at most ``alpha``, however often one looks.
"""

from __future__ import annotations

import math

import numpy as np
import scipy
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def _log_upper_mass(a: float, b: float, q: float) -> float:
    """log P(X > q) for X ~ Beta(a, b), by the complement so that it keeps its digits."""
    mass = float(scipy.special.betainc(b, a, 1.0 - q))
    return math.log(mass) if mass > 0.0 else -math.inf


def log_beta_evidence(hits: int, misses: int, null_rate: float, a: float, b: float) -> float:
    """Log e-value that a Bernoulli rate exceeds ``null_rate``.

    The alternative is Beta(a, b) truncated to rates above ``null_rate``; the null is
    every rate up to it. Formula: facts page of the project, after Lindon & Malek
    (arXiv 2011.03567): ``B(a+h, b+m) P(X>q | a+h, b+m) / {B(a, b) P(X>q | a, b) q^h (1-q)^m}``.

    ``hits`` and ``misses`` are totals since the start, not increments.
    """
    if hits == 0 and misses == 0:
        return 0.0
    if not 0.0 < null_rate < 1.0:
        raise ValueError(f"null_rate must lie strictly between 0 and 1, not {null_rate}")
    return (
        float(scipy.special.betaln(a + hits, b + misses) - scipy.special.betaln(a, b))
        + _log_upper_mass(a + hits, b + misses, null_rate)
        - _log_upper_mass(a, b, null_rate)
        - hits * math.log(null_rate)
        - misses * math.log1p(-null_rate)
    )


def log_conditional_evidence(
    candidate: int, primary: int, share: float, ratio: float = 1.0, k: float = 10.0
) -> float:
    """Log e-value that the candidate fails more than ``ratio`` times as often as the primary.

    Conditional on a failure having happened, it falls on the candidate with probability
    ``q0 = share * ratio / (share * ratio + 1 - share)`` at the boundary of the null, where
    ``share`` is the assigned part of the units. ``k`` is the prior's weight in failures.
    Counts are of units with at least one failure, in total since the start.
    Source: Lindon & Malek, arXiv 2011.03567.
    """
    q0 = share * ratio / (share * ratio + 1.0 - share)
    return log_beta_evidence(candidate, primary, q0, k * q0, k * (1.0 - q0))


def calibrated_p(scores: Floats, calibration: Floats, uniform: Floats) -> Floats:
    """Randomised conformal p-values, exactly uniform when window and calibration exchange.

    ``scores`` (S,), ``calibration`` (S, M) with NaN for absent entries, ``uniform`` (S,)
    in [0, 1): supplied by the caller, so that a replay gives the same value.
    ``p = (#{calibration > s} + U (#{calibration = s} + 1)) / (M + 1)``.
    """
    present = ~np.isnan(calibration)
    above = np.count_nonzero(calibration > scores[:, None], axis=1)
    ties = np.count_nonzero(calibration == scores[:, None], axis=1)
    return (above + uniform * (ties + 1)) / (present.sum(axis=1) + 1)


def p_to_e(p: Floats) -> Floats:
    """Calibrate p-values into e-values: ``(1 - p + p ln p) / (p ln^2 p)``.

    The mixture over kappa of ``kappa p^(kappa-1)`` (Vovk & Wang, Annals of Statistics
    49(3), 2021); its mean over a uniform p is 1.
    """
    p = np.clip(p, 1e-12, 1.0 - 1e-9)
    log_p = np.log(p)
    return (1.0 - p + p * log_p) / (p * log_p**2)


def e_values(p: Floats) -> Floats:
    """`p_to_e` of each p-value; 0, which is no evidence at all, where there is none (NaN)."""
    known = ~np.isnan(p)
    return np.where(known, p_to_e(np.where(known, p, 0.5)), 0.0)


def log_chance_to_e(log_p: float) -> float:
    """The log of `p_to_e` from the log of a p-value, which may be smaller than floats are."""
    log_p = min(log_p, -1e-9)
    if log_p > -1e-3:  # where it cancels: its expansion about p = 1
        return math.log(0.5 - log_p / 6.0)
    p = math.exp(log_p)
    return math.log(1.0 - p + p * log_p) - log_p - 2.0 * math.log(-log_p)


def shiryaev_roberts(previous: Floats, e: Floats) -> Floats:
    """One step of the e-detector: ``R <- (1 + R) e``.

    Raising the alarm at ``R >= A`` gives an average run length of at least A windows
    between false alarms (Shin, Ramdas & Rinaldo, arXiv 2203.03532).
    """
    return (1.0 + previous) * e
