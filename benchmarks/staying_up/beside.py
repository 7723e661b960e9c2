"""A fast model, alone and beside a slow one that has more to do than it can."""

from __future__ import annotations

import math
from collections.abc import Sequence

from results import Measure, mid_ratio, quieter

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
            stolen = gateway.settle()
            ours = counted(found["fast"], plan.beside_s)
            if "slow" in found:
                theirs = counted(found["slow"], plan.beside_s)
                together.append(see(PART, "fast beside slow", ours, plan.beside_s, stolen))
                others.append(see(PART, f"slow, {_OVER:g}x its capacity", theirs, plan.beside_s))
            else:
                alone.append(see(PART, "fast alone", ours, plan.beside_s, stolen))
        bench.say(
            f"{PART} {turn + 1}/{plan.repeats}: p99 of fast {alone[-1].p99_ms:.2f} ms alone, "
            f"{together[-1].p99_ms:.2f} ms beside slow"
        )
    lines = [middle(alone), middle(together), middle(others)]
    return Found(beside_measures(alone, together, others), lines)


def beside_measures(
    alone: Sequence[Seen], together: Sequence[Seen], others: Sequence[Seen]
) -> list[Measure]:
    """One entry a turn in each."""
    clean = not any(s.failed for s in [*alone, *together]) and all(s.answered for s in others)
    turns = quieter(zip(together, alone, strict=True))
    slower = mid_ratio((t.p99_ms, a.p99_ms) for t, a in turns)
    return [
        Measure(
            "p99 of a fast model beside a saturated slow one, times that alone",
            slower if clean else math.nan,
            at_most=2.0,
        ),
    ]
