"""What a person says of measuring a version and of making it cheaper."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from windvane.core.execution import Optimization

LOSS_ALLOWED = 0.005


@dataclass(frozen=True, slots=True)
class OptimizeOptions:
    """``how``, and the part of the metric that may be lost (``allowed``; 0.005 is half a
    percent). ``by`` signs the loss; ``accept`` is the reason for which a version that answers
    otherwise is registered all the same. ``table`` names where the rows come from."""

    how: Optimization
    by: str
    allowed: float = LOSS_ALLOWED
    accept: str = ""
    holdout_from: float | None = None
    table: str = ""


@dataclass(frozen=True, slots=True)
class ProfileOptions:
    """``seconds`` bounds what is measured, ``threads`` is the most that one execution is given,
    ``allowed`` the part of the metric that the best option may lose. ``beside``: other versions of
    the model, which are options too."""

    seconds: float = 20.0
    threads: int = 2
    allowed: float = LOSS_ALLOWED
    holdout_from: float | None = None
    beside: tuple[str, ...] = ()


class OptimizeOrder(msgspec.Struct, frozen=True):
    """What the command line hands to the process that optimizes."""

    model: str
    version: str
    data: str
    label: str
    time: str
    options: OptimizeOptions
    without: tuple[str, ...] = ()
    as_json: bool = False


class ProfileOrder(msgspec.Struct, frozen=True):
    """What the command line hands to the process that profiles. ``data`` is "" for rows of the
    log, ``version`` for the champion."""

    model: str
    version: str
    options: ProfileOptions
    data: str = ""
    label: str = ""
    time: str = ""
    without: tuple[str, ...] = ()
    as_json: bool = False
