"""A tenant that sends twenty times its limit, beside one that does nothing wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence

from results import Measure, mid_ratio, quieter, ratio

from .answers import Seen, middle, see
from .gateway import Gateway
from .homes import FAST, NOISY, NOISY_RATE, QUIET
from .load import Flow
from .plan import WARM_S, Bench, Found, counted

PART = "noisy neighbour"
QUIET_RATE = 500.0  # requests a second: a small part of what the gateway can do
FLOOD = 20 * NOISY_RATE
# Refusals beyond the first of each second are held back for a while: a flood that does not wait
# for its answers needs many connections.
_FLOOD_CONNECTIONS = 900
_ARRIVED = 0.95  # of the flood, or it was none


def neighbour(bench: Bench, gateway: Gateway) -> Found:
    plan, loader = bench.plan, bench.loader
    quiet = Flow(loader.requests("quiet", [FAST], bench.home.keys[QUIET]), QUIET_RATE)
    noisy = Flow(
        loader.requests("noisy", [FAST], bench.home.keys[NOISY]), FLOOD, _FLOOD_CONNECTIONS
    )
    alone: list[Seen] = []
    beside: list[Seen] = []
    flood: list[Seen] = []
    seconds = WARM_S + plan.neighbour_s
    for turn in range(plan.neighbours):
        for flows in ({"quiet": quiet}, {"quiet": quiet, "noisy": noisy}):
            found = loader.streams(gateway.port, flows, seconds)
            stolen = gateway.settle()
            ours = counted(found["quiet"], plan.neighbour_s)
            if "noisy" in found:
                beside.append(see(PART, "quiet beside noisy", ours, plan.neighbour_s, stolen))
                theirs = counted(found["noisy"], plan.neighbour_s)
                sent = theirs.only(theirs.sent_s < seconds)
                flood.append(see(PART, f"noisy, limit {NOISY_RATE}/s", sent, plan.neighbour_s))
            else:
                alone.append(see(PART, "quiet alone", ours, plan.neighbour_s, stolen))
        bench.say(
            f"{PART} {turn + 1}/{plan.neighbours}: p99 of quiet {alone[-1].p99_ms:.2f} ms alone, "
            f"{beside[-1].p99_ms:.2f} ms beside {flood[-1].rate:,.0f}/s, "
            f"of which {flood[-1].answered:.1f}/s are let in"
        )
    lines = [middle(alone), middle(beside), middle(flood)]
    return Found(neighbour_measures(alone, beside, flood), lines)


def neighbour_measures(
    alones: Sequence[Seen], besides: Sequence[Seen], floods: Sequence[Seen]
) -> list[Measure]:
    """One entry a turn in each."""
    alone, beside, flood = middle(alones), middle(besides), middle(floods)
    came = flood.rate >= _ARRIVED * FLOOD and not alone.failed
    worse = mid_ratio((b.p99_ms, a.p99_ms) for b, a in quieter(zip(besides, alones, strict=True)))
    return [
        Measure(
            "p99 of a tenant beside one that sends 20x its limit, times that alone",
            worse if came else math.nan,
            at_most=1.2,
        ),
        Measure(
            "requests of the quiet tenant without a prediction beside the noisy one",
            float(beside.failed + beside.refused + beside.late) if came else math.nan,
            at_most=0.0,
        ),
        # A second's last admissions may be answered in the next.
        Measure(
            "requests let in of the noisy tenant, times its limit",
            ratio(flood.answered, NOISY_RATE) if came else math.nan,
            at_most=1.01,
        ),
    ]
