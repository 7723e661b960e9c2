"""When a rollout goes on, waits, or is taken back."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """``alpha``: the chance of taking back a challenger that is as good as its champion, in the
    whole rollout; the guards share it. ``soak_s``: the least time in a stage.

    Rates are of units' first requests in a stage. One that fails more than ``max_error_rate`` of
    them, and more than the champion, goes; it goes on where it fails less than
    ``advance_error_rate``, or less than ``max_ratio`` times as often as the champion.
    ``slow_share`` is what may be slower than the stage's limit. ``loss_of_gain``: what part of the
    champion's gain over the best constant may be lost, and ``loss_share`` what part of its loss
    may be added, whichever is more. ``outcomes``: whether the truth is ever told, so that losses
    can be compared.
    """

    alpha: float = 0.05
    soak_s: float = 0.0
    max_error_rate: float = 0.05
    advance_error_rate: float = 0.01
    max_ratio: float = 2.0
    slow_share: float = 0.01
    loss_of_gain: float = 0.25
    loss_share: float = 0.02
    min_units: int = 20
    outcomes: bool = True
    revision: int = 2
