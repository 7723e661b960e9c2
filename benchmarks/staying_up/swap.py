"""A new version, and new workers, under load: nobody may notice."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from results import Measure, ratio

from windvane.apps.cli.restarts import restart_workers
from windvane.usecases.read_settings import find_settings

from .answers import Answers, middle, see
from .gateway import up
from .homes import FAST, QUIET, add_version, deploy
from .load import Flow
from .plan import WARM_S, Bench, Found

PART = "swap"
WORKERS = 2
SLOW_MS = 100.0
"""From here on a request is slow: the latency budget that a model's file has by default."""
_RATE = 500.0
_SWAP_S = 4.0  # the steward publishes within half a second, workers look ten times a second


def swap(bench: Bench) -> Found:
    """Several times, each on an installation of its own."""
    return all_of([_once(bench, number) for number in range(bench.plan.swaps)])


def all_of(runs: Sequence[Found]) -> Found:
    """What may not be at all is summed, of ratios the median counts."""
    measures: list[Measure] = []
    for same in zip(*(run.measures for run in runs), strict=True):
        values = [measure.value for measure in same]
        value = sum(values) if same[0].at_most == 0.0 else float(np.median(values))
        measures.append(replace(same[0], value=value))
    lines = [middle(same) for same in zip(*(run.seen for run in runs), strict=True)]
    return Found(measures, lines, [share for run in runs for share in run.others])


def _once(bench: Bench, number: int) -> Found:
    plan = bench.plan
    versions: list[str] = []
    with up(
        bench.home.folder, bench.scratch(f"swap-{number}"),
        lambda home: versions.append(add_version(home, FAST)), workers=WORKERS,
    ) as gateway:  # fmt: skip
        requests = bench.loader.requests("quiet", [FAST], bench.home.keys[QUIET])
        flow = Flow(requests, _RATE, mark=f'"version":"{versions[0]}"')
        swap_at = WARM_S + plan.calm_s
        restart_at = swap_at + _SWAP_S
        end = restart_at + plan.restart_s
        before = gateway.workers_started()
        with bench.loader.start(gateway.port, {"load": flow}, end) as load:
            began = load.began()
            time.sleep(max(0.0, began + swap_at - time.monotonic()))
            deploy(gateway.home, FAST, versions[0])
            time.sleep(max(0.0, began + restart_at - time.monotonic()))
            restart_workers(find_settings({}, gateway.home), lambda _: None, wait=False)
            answers = load.wait()["load"]
        started = gateway.workers_started() - before
        stolen = gateway.settle()
    found = swap_found(answers, started, (WARM_S, swap_at, restart_at, end))
    found.others.extend(gateway.others)
    found.seen[:] = [replace(line, stolen=stolen) for line in found.seen]
    calm, swapped, restarted = found.seen
    bench.say(
        f"{PART} {number + 1}/{plan.swaps}: p99 {calm.p99_ms:.2f} ms before, "
        f"{swapped.p99_ms:.2f} ms around a new version, "
        f"{restarted.p99_ms:.2f} ms around a restart of {started} workers"
    )
    return found


def swap_found(answers: Answers, started: int, moments: tuple[float, ...]) -> Found:
    """``started`` new workers; ``moments``: counting begins, a version is deployed, the restart
    begins, the load ends."""
    first, swap_at, restart_at, end = moments
    calm = answers.between(first, swap_at)
    swapped = answers.between(swap_at, restart_at)
    restarted = answers.between(restart_at, end)
    happened = bool(len(swapped) and swapped.marked[-1]) and not calm.marked.any()
    lines = [
        see(PART, "before", calm, swap_at - first),
        see(PART, "a new version for everyone", swapped, restart_at - swap_at),
        see(PART, f"a rolling restart of {WORKERS} workers", restarted, end - restart_at),
    ]
    missing = float("nan")
    return Found(
        [
            Measure(
                "requests without a prediction around a new version",
                float(len(swapped) - len(swapped.ok)) if happened else missing,
                at_most=0.0,
            ),
            Measure(
                f"requests slower than {SLOW_MS:.0f} ms around a new version",
                float(len(swapped) - len(swapped.within(SLOW_MS))) if happened else missing,
                at_most=0.0,
            ),
            Measure(
                "p99 around a new version, times that before",
                ratio(lines[1].p99_ms, lines[0].p99_ms) if happened else missing,
                at_most=2.0,
            ),
            Measure(
                "requests without a prediction around a rolling restart",
                float(len(restarted) - len(restarted.ok)) if started == WORKERS else missing,
                at_most=0.0,
            ),
        ],
        lines,
    )
