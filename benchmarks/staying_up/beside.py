"""A fast model, alone and beside a slow one that has more to do than it can."""

from __future__ import annotations

import math

from results import Measure, ratio

from .answers import Seen, middle, see
from .gateway import Gateway
from .homes import FAST, QUIET, SLOW
from .load import Flow
from .plan import WARM_S, Bench, Found, counted

PART = "slow beside fast"
_RATE = 500.0
_OVER = 1.2  # times its capacity: always busy, and little time goes into saying no
_CONNECTIONS = 400


def beside(bench: Bench, gateway: Gateway, capacity: float) -> Found:
    """``capacity`` of the slow model in requests a second."""
    plan, loader, key = bench.plan, bench.loader, bench.home.keys[QUIET]
    fast = Flow(loader.requests("quiet", [FAST], key), _RATE)
    slow = Flow(loader.requests("slow", [SLOW], key), _OVER * capacity, _CONNECTIONS)
    alone: list[Seen] = []
    together: list[Seen] = []
    others: list[Seen] = []
    for turn in range(plan.repeats):
        for flows in ({"fast": fast}, {"fast": fast, "slow": slow}):
            found = loader.streams(gateway.port, flows, WARM_S + plan.beside_s)
            ours = counted(found["fast"], plan.beside_s)
            if "slow" in found:
                theirs = counted(found["slow"], plan.beside_s)
                together.append(see(PART, "fast beside slow", ours, plan.beside_s))
                others.append(see(PART, f"slow, {_OVER:g}x its capacity", theirs, plan.beside_s))
            else:
                alone.append(see(PART, "fast alone", ours, plan.beside_s))
            gateway.settle()
        bench.say(
            f"{PART} {turn + 1}/{plan.repeats}: p99 of fast {alone[-1].p99_ms:.2f} ms alone, "
            f"{together[-1].p99_ms:.2f} ms beside slow"
        )
    lines = [middle(alone), middle(together), middle(others)]
    return Found(beside_measures(*lines), lines)


def beside_measures(alone: Seen, together: Seen, others: Seen) -> list[Measure]:
    clean = not alone.failed and not together.failed and others.answered > 0
    return [
        Measure(
            "p99 of a fast model beside a saturated slow one, times that alone",
            ratio(together.p99_ms, alone.p99_ms) if clean else math.nan,
            at_most=2.0,
        ),
    ]
