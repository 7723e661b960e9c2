"""Thirty models in the memory of five: a version is loaded when it is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from results import Measure

from .answers import Seen, ratio, see
from .gateway import Gateway, up
from .homes import FAST, QUIET, add_models
from .load import Flow
from .plan import WARM_S, Bench, Found, counted

PART = "memory budget"
MODELS = 30
ROOM = 5
_SLACK = 0.5  # of a model: the budget has room for five and no sixth
_OFTEN = 3  # models that are asked all the time; the others are asked in turn
_OFTEN_RATE, _SELDOM_RATE = 200.0, 10.0  # requests a second


@dataclass(frozen=True, slots=True)
class Case:
    """One installation: how its models answered, and its metrics at the end."""

    turns: Seen
    often: Seen
    seldom: Seen
    metrics: Mapping[str, float]
    others: Sequence[float] = ()

    @property
    def loaded(self) -> float:
        return self.metrics["windvane_models_loaded"]

    @property
    def bytes(self) -> float:
        return self.metrics["windvane_model_bytes"]

    @property
    def unanswered(self) -> int:
        return sum(s.failed + s.late + s.refused for s in (self.turns, self.often, self.seldom))

    def count(self, name: str) -> float:
        """A counter that is not there has not counted yet."""
        return self.metrics.get(f"windvane_{name}_total", 0.0)


def budget(bench: Bench) -> Found:
    names: list[str] = []

    def more(home: Path) -> None:
        names[:] = add_models(home, FAST, MODELS)

    with up(bench.home.folder, bench.scratch("roomy"), more) as gateway:
        roomy = _case(bench, gateway, names, "all in memory")
    bound = int((ROOM + _SLACK) * roomy.bytes / roomy.loaded)
    tight_home = bench.scratch("tight")
    with up(bench.home.folder, tight_home, more, model_memory_bytes=bound) as gateway:
        tight = _case(bench, gateway, names, f"room for {ROOM}")
    bench.say(
        f"{PART}: {tight.loaded:.0f} of {MODELS} models loaded at the end, "
        f"{tight.count('loads'):.0f} loads, {tight.count('unloads'):.0f} unloads, "
        f"p99 of the asked ones {roomy.often.p99_ms:.2f} ms with all, "
        f"{tight.often.p99_ms:.2f} ms with room for {ROOM}"
    )
    lines = [s for case in (roomy, tight) for s in (case.turns, case.often, case.seldom)]
    return Found(budget_measures(roomy, tight, bound), lines, [*roomy.others, *tight.others])


def _case(bench: Bench, gateway: Gateway, names: list[str], case: str) -> Case:
    loader, key, plan = bench.loader, bench.home.keys[QUIET], bench.plan
    every = Flow(loader.requests("every", names, key), _SELDOM_RATE, mark='"value"')
    seconds = MODELS / _SELDOM_RATE
    turns = loader.streams(gateway.port, {"every": every}, seconds)["every"]
    flows = {
        "often": Flow(loader.requests("often", names[:_OFTEN], key), _OFTEN_RATE),
        "seldom": Flow(loader.requests("seldom", names[_OFTEN:], key), _SELDOM_RATE),
    }
    found = loader.streams(gateway.port, flows, WARM_S + plan.budget_s)
    often, seldom = (counted(found[name], plan.budget_s) for name in flows)
    gateway.settle()
    metrics = gateway.metrics()
    return Case(
        see(PART, f"{case}: each of {MODELS} in turn", turns, seconds),
        see(PART, f"{case}: {_OFTEN} asked often", often, plan.budget_s),
        see(PART, f"{case}: the others meanwhile", seldom, plan.budget_s),
        metrics,
        gateway.others,
    )


def budget_measures(roomy: Case, tight: Case, bound: int) -> list[Measure]:
    """``bound`` is the budget in bytes."""
    # Without loads and unloads there was no budget to speak of.
    worked = roomy.loaded >= MODELS and tight.count("unloads") > 0
    missing = float("nan")
    return [
        Measure(
            f"requests without a prediction, {MODELS} models in room for {ROOM}",
            float(tight.unanswered) if worked else missing,
            at_most=0.0,
        ),
        Measure(
            "bytes that the models held at the end, share of the budget",
            ratio(tight.bytes, bound) if worked else missing,
            at_most=1.0,
        ),
        Measure(
            "loads less unloads less models in memory",
            abs(tight.count("loads") - tight.count("unloads") - tight.loaded)
            if worked
            else missing,
            at_most=0.0,
        ),
        Measure(
            f"p99 of {_OFTEN} models asked often while others are loaded, times all in memory",
            ratio(tight.often.p99_ms, roomy.often.p99_ms) if worked else missing,
            at_most=3.0,
        ),
    ]
