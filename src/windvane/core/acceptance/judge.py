"""Judge a trained candidate before it may ever see traffic."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windvane.core.task import Quality, by_row, metric_name
from windvane.core.verdict import Outcome, Verdict, worst

_LEAST_SHARE = 1e-9
_OF_ITSELF = 0.2
_LARGEST = float(np.finfo(np.float64).max)


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Rows of one sort: how many were compared, by how much the two answers differ at most, and
    how many differ beyond the tolerance. ``unanswered`` is what either side said where it gave
    no answer, ``only``: which side alone answered ("" where both or neither did)."""

    name: str
    rows: int
    max_difference: float = 0.0
    moved: int = 0
    unanswered: str = ""
    only: str = ""


@dataclass(frozen=True, slots=True)
class RowDifference:
    """A row that was answered differently: its inputs by feature, and both answers."""

    group: str
    inputs: Mapping[str, Any]
    library: Sequence[float | None]
    served: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class ParityReport:
    """What is served against what the model's own library answers, on real rows and on probes.

    Differences are absolute, in units of the output; ``moved`` counts the rows and probes
    whose outputs differ by more than the policy's tolerance, ``changed_labels`` those that
    fall on the other side of 0.5. ``library`` is what was asked, with its version;
    ``not_compared`` says why nothing was. ``examples`` are the first rows that differ.
    ``accepted`` is the reason for which the differences were accepted, ``accepted_by`` who did.
    ``against`` is what sentences call the side that was asked: the version that another one was
    made from is no library. ``of_spread``: the tolerance is a share of each output's spread.
    """

    rows: int
    max_difference: float
    probes: int
    probe_max_difference: float
    moved: int
    changed_labels: int = 0
    library: str = ""
    not_compared: str = ""
    groups: tuple[RowGroup, ...] = ()
    examples: tuple[RowDifference, ...] = ()
    accepted: str = ""
    accepted_by: str = ""
    against: str = "its library"
    of_spread: bool = False

    @property
    def one_sided(self) -> str:
        """The first sort of rows that only one side answers, as a sentence; "" for none."""
        for group in self.groups:
            if group.only:
                return f"only {group.only} answers {group.name}: {group.unanswered}"
        return ""

    def signed(self, reason: str, by: str) -> ParityReport:
        """With the reason for which its differences are accepted, where there are any."""
        if not reason or not self.unequal:
            return self
        return replace(self, accepted=reason, accepted_by=by)

    @property
    def unequal(self) -> bool:
        return self.moved > 0 or bool(self.one_sided)


@dataclass(frozen=True, slots=True, eq=False)
class Tolerance:
    """How far two answers may be apart and count as equal: ``share`` of one for probabilities;
    of each output's own spread where it has a unit (``scales``, (outputs,)), for what is nothing
    in dollars is all there is in millions of them. A number far from zero beside its spread may
    differ by ``share`` of a fifth of itself: that is what single precision makes of sums."""

    share: float
    scales: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, share: float, outputs: NDArray[np.float64], *, has_unit: bool) -> Tolerance:
        """By what real rows (n, ...) are answered."""
        if not has_unit:
            return cls(share)
        flat = by_row(outputs)
        known = np.where(np.isfinite(flat), flat, np.nan)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a column without a number
            spread = np.nan_to_num(np.nanstd(known, axis=0))
        # An output that never changes may have the rounding of those beside it.
        return cls(share, np.maximum(spread, _LEAST_SHARE * spread.max(initial=0.0)))

    def beyond(self, one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(n,): which rows have an output that differs by more."""
        if self.scales is None:
            allowed: Any = self.share
        else:
            sizes = np.abs(by_row(one))
            sizes = np.where(np.isfinite(sizes), sizes, 0.0)
            allowed = self.share * np.maximum(self.scales, _OF_ITSELF * sizes)
        moved: NDArray[np.bool_] = np.any(_gaps(one, other) > allowed, axis=1)
        return moved


def compare_outputs(
    rows: tuple[NDArray[np.float64], NDArray[np.float64]],
    probes: tuple[NDArray[np.float64], NDArray[np.float64]],
    tolerance: float,
    *,
    has_unit: bool = False,
) -> ParityReport:
    """Each pair holds the trained model's outputs and the served ones', (n, ...) each. An
    output that is not a number on one side only differs without bound."""
    apart = [row_differences(one, other) for one, other in (rows, probes)]
    labels = [0 if has_unit else changed_labels(one, other) for one, other in (rows, probes)]
    worst_of = [largest(gaps) for gaps in apart]
    allowed = Tolerance.of(tolerance, rows[0], has_unit=has_unit)
    moved = sum(int(allowed.beyond(one, other).sum()) for one, other in (rows, probes))
    return ParityReport(
        rows=len(rows[0]),
        max_difference=worst_of[0],
        probes=len(probes[0]),
        probe_max_difference=worst_of[1],
        moved=moved,
        changed_labels=sum(labels),
        of_spread=has_unit,
    )


def largest(gaps: NDArray[np.float64]) -> float:
    """The largest difference, as a number that JSON has."""
    return min(float(gaps.max()), _LARGEST) if len(gaps) else 0.0


def changed_labels(one: NDArray[np.float64], other: NDArray[np.float64]) -> int:
    """Rows with another label: the likeliest of several classes, or the side of one half."""
    if one.ndim == 2 and one.shape[1] > 1:
        return int((one.argmax(axis=1) != other.argmax(axis=1)).sum())
    return int(by_row((one >= 0.5) != (other >= 0.5)).any(axis=1).sum())


def row_differences(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,): the largest absolute difference of each row; infinite where one side is no number."""
    return _gaps(one, other).max(axis=1, initial=0.0)


def _gaps(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, outputs): absolute differences, none where neither side is a number."""
    ours, theirs = by_row(one), by_row(other)
    gaps = np.abs(ours - theirs)
    gaps[np.isnan(ours) & np.isnan(theirs)] = 0.0
    gaps[np.isnan(gaps)] = np.inf
    return gaps


@dataclass(frozen=True, slots=True)
class CandidateFacts:
    """What is known of a candidate.

    ``quality`` on the holdout; ``naive`` is what the best constant answer has of the metric, and
    ``over_naive`` by how much worse a row is than by it (None: that is known beforehand).
    ``against_champion``: the mean of what a row costs more than with the champion, on the same
    rows, as a quality of its own (smaller is better); None without a champion, or where
    ``no_champion`` says why it could not be compared. ``parity`` is None where it is served as it
    came, so that there is nothing to compare. ``accepted`` is the reason for which a person takes
    it although it is worse than the champion. ``champion_loss``: what a row costs with the
    champion, where losses have a unit; else 1.
    """

    rows: int
    duplicate_rows: int
    quality: Quality
    naive: float | None
    parity: ParityReport | None
    against_champion: Quality | None = None
    no_champion: str = ""
    accepted: str = ""
    over_naive: Quality | None = None
    champion_loss: float = 1.0


@dataclass(frozen=True, slots=True)
class AcceptancePolicy:
    """``floor``: the least good value of the task's metric; None for better than the best
    constant. ``alpha``: the level of the bounds that have to clear it."""

    min_rows: int = 1_000
    floor: float | None = None
    parity_tolerance: float = 1e-5
    alpha: float = 0.05
    revision: int = 4


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
        # Outputs that count as equal cost no more.
        worse = against.lower > policy.parity_tolerance * facts.champion_loss
        sentence = (
            f"a row costs {against.value:+.3g} ({against.lower:+.3g} to {against.upper:+.3g}) "
            f"more than with the champion, n={against.rows:,}"
        )
        if worse and facts.accepted:
            sentence += f"; accepted: {facts.accepted}"
        checks.append(_check(not worse or bool(facts.accepted), "ACC-504", sentence))
    if facts.parity is not None:
        # What a person signed is what the verdict says where all else passes.
        checks.insert(0 if facts.parity.accepted else 2, _faithful(facts.parity, policy))
    return worst(checks)


def _faithful(parity: ParityReport, policy: AcceptancePolicy) -> Verdict:
    if parity.not_compared:
        return Verdict(Outcome.PASS, "ACC-503", f"nothing was compared: {parity.not_compared}")
    library = parity.library or "the trained model"
    sentence = (
        f"what is served differs from {library} by {parity.max_difference:.2g} on "
        f"{parity.rows:,} rows and by {parity.probe_max_difference:.2g} on {parity.probes:,} "
        f"probes around splits, {policy.parity_tolerance:.2g} allowed"
        f"{' of its spread' if parity.of_spread else ''}"
    )
    if parity.one_sided:
        sentence += f"; {parity.one_sided}"
    if parity.unequal and parity.accepted:
        sentence += f"; accepted by {parity.accepted_by or 'nobody named'}: {parity.accepted}"
    return _check(not parity.unequal or bool(parity.accepted), "ACC-503", sentence)


def _good_enough(facts: CandidateFacts, policy: AcceptancePolicy) -> Verdict:
    quality = facts.quality
    floor = facts.naive if policy.floor is None else policy.floor
    if floor is None:
        return Verdict(Outcome.PASS, "ACC-502", f"{quality.metric} is not judged")
    word = "the best constant has" if policy.floor is None else "needed is"
    name = metric_name(quality.metric)
    show = _show_share if quality.larger_is_better else _show_loss
    sides = (
        f"holdout {name} {show(quality.value)} ({show(quality.lower)} to {show(quality.upper)}, "
        f"n={quality.rows:,}), {word} {show(floor)}"
    )
    if quality.missing:
        return Verdict(Outcome.FAIL, "ACC-502", f"{sides}; missing: {quality.missing}")
    if quality.metric == "auc" and quality.upper < 0.5:
        sides += f"; the other way round it has {1.0 - quality.value:.3f}: are labels mixed up?"
    over = facts.over_naive
    if policy.floor is not None or over is None:
        return _check(quality.at_least(floor), "ACC-502", sides)
    if over.missing:
        return Verdict(Outcome.FAIL, "ACC-502", f"{sides}; missing: {over.missing}")
    sides += f": a row is {over.value:+.3g} ({over.lower:+.3g} to {over.upper:+.3g}) worse"
    return _check(over.upper <= 0.0, "ACC-502", sides)


def _show_share(value: float) -> str:
    return f"{value:.3f}"


def _show_loss(value: float) -> str:
    """In units that only the user knows."""
    return f"{value:.4g}"


def _check(held: bool, code: str, sentence: str) -> Verdict:
    return Verdict(Outcome.PASS if held else Outcome.FAIL, code, sentence)
