"""Whose a change of the truth is, block by block, over many draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from windvane.core.alerting import Cause, CauseKind, Finding, correlate
from windvane.core.outcomes import Shift, ShiftPolicy
from windvane.core.sketch import CategoryAxis, Layout
from windvane.core.task import TaskSpec, make_task
from windvane.ports.event_log import ScoredRows
from windvane.usecases.answer_cells import answer_rows
from windvane.usecases.closed_window import segment_of, segment_subject, tenant_subject
from windvane.usecases.monitors.outcomes import OUTCOMES
from windvane.usecases.monitors.truth_shift import SEGMENT_TRUTH, TENANT_TRUTH
from windvane.usecases.monitors.whose_shift import SEGMENT_FEED
from windvane.usecases.monitors.whose_truth import BlockJudge, CellRow, unspoiled

TASK = make_task(TaskSpec())
CARRIERS = ("b6", "dl", "ev", "mq")
LAYOUT = Layout((CategoryAxis("carrier", CARRIERS),))
UNITS = {"AA": 82, "UA": 60, "DL": 60, "WN": 36}
KEYS = [
    *map(tenant_subject, UNITS),
    *(segment_subject(f"carrier={n}") for n in ("null", *CARRIERS, "other")),
]
POLICY = ShiftPolicy(2_000.0, {Shift.LOSS: 0.01, Shift.BIAS: 0.03, Shift.RATE: 0.05})
CHANGED, DRAWS = 14, 8
Carrier = Callable[[str, int], str]


def cycled(tenant: str, row: int) -> str:
    del tenant
    return CARRIERS[row % 4]


def own(tenant: str, row: int) -> str:
    """Of mq WN alone has rows, and no others."""
    return "mq" if tenant == "WN" else CARRIERS[row % 3]


def mixed(tenant: str, row: int) -> str:
    if tenant == "AA":
        return ("mq", "dl")[row % 2]
    return CARRIERS[row % 4] if tenant == "UA" else CARRIERS[row % 3]


def told(
    seed: int, share: float, *, tenant: str = "", carrier: str = "", of: Carrier = cycled
) -> set[str]:
    """The cells that were alarmed at any time, "" for the model, as ``share`` of the labels of a
    tenant's or a carrier's rows is turned round from a block on."""
    cells, model, found = dict.fromkeys(KEYS, CellRow("1")), CellRow("1"), set[str]()
    for block in range(CHANGED + 8):
        rng = np.random.default_rng(seed + block)
        tenants = np.repeat(list(UNITS), list(UNITS.values()))
        carriers = np.array([of(t, i) for t, n in UNITS.items() for i in range(n)])
        said = rng.beta(2.0, 4.0, len(tenants))
        drawn = np.clip(rng.random(len(said)) - rng.normal(0.0, 0.015), 0.0, 1.0)
        labels = (drawn < said).astype(float)
        hit = (rng.random(len(said)) < share) & (block >= CHANGED)
        hit &= (tenants == tenant) | (tenant == "")
        hit &= (carriers == carrier) | (carrier == "")
        scored = ScoredRows(
            "1", "1", "champion", "", np.arange(float(len(said))),
            np.arange(1, len(said) + 1, dtype=np.uint64), tenants, [said],
            np.where(hit, 1.0 - labels, labels), {"carrier": carriers.astype(np.object_)},
        )  # fmt: skip
        rows = answer_rows(TASK, [scored], 1.0, LAYOUT, ("carrier",))
        assert rows is not None
        judged = BlockJudge(rows, cells, model, float(block), POLICY, block + 1.0).judge()
        still = {k: s.since for k, s in judged.model.states.items() if s.alarmed}
        model = CellRow("1", judged.model.states, open=still)
        found |= {""} if still else set()
        for key, one in judged.judged.items():
            above = judged.spoiled[:1] if segment_of(key) else judged.spoiled
            states = unspoiled(one.states, cells[key].kinds, above)
            still = {k: s.since for k, s in states.items() if s.alarmed}
            said_before = cells[key].said.with_block(judged.cells[key].said)
            cells[key] = CellRow("1", states, said_before, still)
            found |= {key} if still else set()
    return found


def shares(share: float, **given: object) -> Counter[frozenset[str]]:
    draw: Callable[..., set[str]] = told
    return Counter(frozenset(draw(10_000 + 500 * i, share, **given)) for i in range(DRAWS))


def test_nobody_is_told_of_labels_as_the_predictions_say() -> None:
    assert shares(0.0) == {frozenset(): DRAWS}


@pytest.mark.parametrize("of", [cycled, mixed])
@pytest.mark.parametrize("share", [0.25, 0.5])
def test_a_fault_of_everybody_is_told_of_no_segment(share: float, of: Carrier) -> None:
    found = shares(share, of=of)
    assert not any(segment_of(key) for cells in found for key in cells)
    assert sum(n for cells, n in found.items() if "" in cells) > DRAWS / 2


@pytest.mark.parametrize("of", [cycled, mixed])
def test_a_fault_of_a_segment_is_told_of_it_alone(of: Carrier) -> None:
    found = shares(1.0, carrier="mq", of=of)
    assert found[frozenset({"segment/carrier=mq"})] >= DRAWS - 1
    assert found.total() - found[frozenset()] - found[frozenset({"segment/carrier=mq"})] <= 1


@pytest.mark.parametrize("of", [cycled, own])
def test_a_fault_of_a_tenant_is_told_of_no_segment(of: Carrier) -> None:
    found = shares(1.0, tenant="WN", of=of)
    assert not any(segment_of(key) for cells in found for key in cells)
    assert sum(n for cells, n in found.items() if "tenant/WN" in cells) >= DRAWS - 1


def test_of_two_features_the_one_that_explains_the_other_is_told() -> None:
    """Of region west the rows are of mq by two thirds, and those of mq are all in the west."""
    layout = Layout((*LAYOUT.axes, CategoryAxis("region", ("east", "north", "west"))))
    cells, model = dict[str, CellRow](), CellRow("1")
    alarmed = set[str]()
    for block in range(CHANGED + 6):
        rng = np.random.default_rng(300 + block)
        n = 240
        carriers = np.array([CARRIERS[i % 4] for i in range(n)])
        regions = np.array(["east", "north"])[np.arange(n) // 4 % 2]
        west = (carriers == "mq") | ((carriers == "ev") & (np.arange(n) // 8 % 2 == 0))
        regions = np.where(west, "west", regions)
        said = rng.beta(2.0, 4.0, n)
        labels = (rng.random(n) < said).astype(float)
        labels = np.where((carriers == "mq") & (block >= CHANGED), 1.0 - labels, labels)
        scored = ScoredRows(
            "1", "1", "champion", "", np.arange(float(n)), np.arange(1, n + 1, dtype=np.uint64),
            np.array(["AA", "UA"])[np.arange(n) // 16 % 2], [said], labels,
            {"carrier": carriers.astype(np.object_), "region": regions.astype(np.object_)},
        )  # fmt: skip
        rows = answer_rows(TASK, [scored], 1.0, layout, ("carrier", "region"))
        assert rows is not None
        names = [name for one in rows.segments.values() for name in one.names]
        for key in [*map(segment_subject, names), "tenant/AA", "tenant/UA"]:
            cells.setdefault(key, CellRow("1"))
        judged = BlockJudge(rows, cells, model, float(block), POLICY, block + 1.0).judge()
        model = CellRow("1", judged.model.states)
        for key, one in judged.judged.items():
            still = {k: s.since for k, s in one.states.items() if s.alarmed}
            cells[key] = CellRow("1", one.states, open=still)
            alarmed |= {key} if still else set()
    assert alarmed == {"segment/carrier=mq"}


def began(kind: CauseKind, subject: str, since: float) -> Finding:
    return Finding("truth_shift", Cause(kind, subject), True, since, f"{subject} changed")


def test_a_segments_truth_is_one_incident_with_what_explains_it() -> None:
    feed, truth = began(SEGMENT_FEED, "carrier=mq", 10.0), began(SEGMENT_TRUTH, "carrier=mq", 20.0)
    west = began(SEGMENT_TRUTH, "region=west", 25.0)
    (change,) = correlate([truth, west, feed], [], 60.0)
    assert (change.cause, len(change.members)) == (feed.cause, 3)
    (change,) = correlate([truth, began(OUTCOMES, "delay", 900.0)], [], 60.0)
    assert (change.cause, len(change.members)) == (truth.cause, 2)
    apart = correlate([truth, began(TENANT_TRUTH, "WN", 20.0)], [], 60.0)
    assert {one.cause.kind.name for one in apart} == {"segment_truth", "tenant_truth"}
    later = correlate([feed, began(SEGMENT_TRUTH, "carrier=mq", 500.0)], [], 60.0)
    assert len(later) == 2
