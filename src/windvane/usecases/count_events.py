"""The sketches that events make; every event counts in its window."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from windvane.core.routing import (
    CASCADED,
    NO_SAMPLE,
    SELECTED,
    SELECTED_CHALLENGER,
    Arm,
)
from windvane.core.sketch import (
    LATENCY_EDGES_US,
    NO_AXES,
    TRAFFIC,
    Layout,
    Sketch,
    segment_groups,
    segment_name,
)
from windvane.inference.imported import IMPORTED
from windvane.ports.control_store import WindowKey
from windvane.ports.events import (
    Compared,
    CountedEvent,
    OutcomeSeen,
    Predicted,
    Refused,
    RouteTaken,
)
from windvane.ports.segments import SegmentKey
from windvane.usecases.compare_stand_in import compare_answers
from windvane.usecases.count_rows import Rows, code_rows, event_rows
from windvane.usecases.event_contracts import EventContracts

_LATENCY_EDGES_US = np.array(LATENCY_EDGES_US, np.int64)


@dataclass(frozen=True, slots=True)
class EventCounts:
    """What events count for: in their windows, and in the segments that their models declare, where
    two versions may have two layouts."""

    windows: Mapping[WindowKey, Sketch]
    segments: Sequence[tuple[SegmentKey, Sketch]]


def count_events(
    known: EventContracts, recorder: str, events: Sequence[CountedEvent]
) -> EventCounts:
    gathered: dict[_Place, _WindowRows] = {}
    windows = {name: model.window_s for name, model in known.models.items()}
    for event in events:
        model = event.model
        place = (model, event.ts // windows[model], event.tenant, event.contract)
        match event:
            case Predicted() if event.rows == 1:
                route = event.routes[0]
                found = _at(gathered, (*place, route.routed, _counted_as(route)))
                found.rows.values.append(event.features)
                found.rows.outputs.append(event.outputs)
                found.rows.times.append(event.ts)
                _add_request(found, event, route)
                _add_route(found, route)
            case Predicted():
                rows = event_rows(event)
                for i, route in enumerate(event.routes_of()):
                    found = _at(gathered, (*place, route.routed, _counted_as(route)))
                    found.rows.values.append(rows.values[i])
                    found.rows.outputs.append(rows.outputs[i])
                    found.rows.times.append(event.ts)
                    if not i:
                        _add_request(found, event, route)
                    _add_route(found, route)
            case Refused():
                found = _at(gathered, (*place, event.routed, event.arm))
                found.traffic["unanswered" if event.routed else "refused"] += event.requests
            case OutcomeSeen():
                _at(gathered, (*place, "", "")).traffic["outcomes"] += 1
            case Compared():
                apart = compare_answers(known, event)
                if apart is not None:
                    found = _at(gathered, (*place, event.routed, event.arm))
                    for name, count in apart.items():
                        found.traffic[name] += count
    return _count(known, recorder, gathered)


def _count(
    known: EventContracts, recorder: str, gathered: Mapping[_Place, _WindowRows]
) -> EventCounts:
    """Count the rows of all windows of a contract and a layout at once."""
    out: dict[WindowKey, Sketch] = {}
    of_segments: dict[tuple[SegmentKey, str], Sketch] = {}
    layouts: dict[str, Layout] = {}
    alike: dict[tuple[str, str], list[tuple[_Place, _WindowRows]]] = {}
    for place, held in gathered.items():
        model, _, _, contract, version, _ = place
        layout = known.counted_on(model, version) if version else NO_AXES
        layouts[layout.id] = layout
        alike.setdefault((contract, layout.id), []).append((place, held))
    for (contract_id, layout_id), mine in alike.items():
        layout = layouts[layout_id]
        contract, task = known.contracts[contract_id]
        rows = Rows(
            [values for _, held in mine for values in held.rows.values],
            [outputs for _, held in mine for outputs in held.rows.outputs],
            [time for _, held in mine for time in held.rows.times],
        )
        counts = np.zeros((len(mine), layout.size), np.int64)
        if len(rows) and layout.size:
            groups = np.repeat(np.arange(len(mine)), [len(held.rows) for _, held in mine])
            own = np.array([one for _, held in mine for one in held.own], bool)
            codes = code_rows(layout, contract, task, rows, own)
            counts = layout.tally(codes, groups, len(mine))
            windows = [
                (place[0], place[1] * known.models[place[0]].window_s, place[-1])
                for place, _ in mine
            ]
            for key, made in _segments(known, recorder, layout, codes, groups, windows):
                of_layout = key, layout.id
                before = of_segments.get(of_layout)
                of_segments[of_layout] = made if before is None else before + made
        traffic = np.array(
            [list({**held.traffic, "rows": len(held.rows)}.values()) for _, held in mine], np.int64
        )
        latencies = _count_latencies([held.latencies for _, held in mine])
        for i, (place, _) in enumerate(mine):
            model, window, tenant, _, version, arm = place
            start = window * known.models[model].window_s
            key = WindowKey(model, start, version, arm, tenant, recorder)
            made = Sketch(layout.id, counts[i], traffic[i], latencies[i])
            # Two contracts of one window have one key and, by their version, one layout.
            out[key] = out[key] + made if key in out else made
    return EventCounts(out, [(key, sketch) for (key, _), sketch in of_segments.items()])


def _segments(
    known: EventContracts,
    recorder: str,
    layout: Layout,
    codes: NDArray[np.int64],
    groups: NDArray[np.int64],
    windows: Sequence[tuple[str, float, str]],
) -> Iterator[tuple[SegmentKey, Sketch]]:
    """What rows with these ``codes`` count for in the segments that their models declare; of each
    group its (model, start, arm) is in ``windows``."""
    declared = [
        () if arm in NO_SAMPLE else known.models[model].segments for model, _, arm in windows
    ]
    for feature in sorted({name for names in declared for name in names} & set(layout.names)):
        at = layout.names.index(feature)  # of one that is counted on former bins, too, the first
        axis = layout.axes[at]
        mine = np.array([feature in names for names in declared], bool)[groups]
        places, names = segment_groups(axis, codes[mine, at] - layout.offsets[at])
        if not names:
            continue
        found, inverse = np.unique(groups[mine] * len(names) + places, return_inverse=True)
        counts = layout.tally(codes[mine], inverse.astype(np.int64), len(found))
        for i, place in enumerate(found.tolist()):
            model, start, _ = windows[place // len(names)]
            segment = segment_name(feature, names[place % len(names)])
            sketch = replace(Sketch.empty(layout.id, layout.size), features=counts[i])
            yield SegmentKey(model, start, segment, recorder), sketch


def _add_request(found: _WindowRows, event: Predicted, route: RouteTaken) -> None:
    found.traffic["requests"] += 1
    # Of what was made elsewhere nobody need tell how long it took.
    if event.latency_us or IMPORTED not in route.flags:
        found.latencies.append(event.latency_us)


def _add_route(found: _WindowRows, route: RouteTaken) -> None:
    own = route.answered == route.routed
    found.own.append(own)
    if not own:
        found.traffic["fell_back"] += 1
    if route.flags and "failed" in route.flags:
        found.traffic["execution_errors"] += 1


def _count_latencies(groups: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """(groups, bins): each latency in microseconds in its bin."""
    bins = len(_LATENCY_EDGES_US) + 1
    flat = np.array([one for group in groups for one in group], np.int64)
    places = np.repeat(np.arange(len(groups)) * bins, [len(group) for group in groups])
    codes = np.searchsorted(_LATENCY_EDGES_US, flat, side="left") + places
    counts = np.bincount(codes, minlength=len(groups) * bins)
    return counts.astype(np.int64).reshape(len(groups), bins)


def _counted_as(route: RouteTaken) -> str:
    """The arm whose window a row is counted in."""
    if CASCADED not in route.flags:
        return route.arm
    return SELECTED_CHALLENGER if route.arm == Arm.CHALLENGER else SELECTED


# Model, number of the window, tenant, contract, version, arm.
_Place: TypeAlias = tuple[str, float, str, str, str, str]


@dataclass(slots=True)
class _WindowRows:
    """One window's rows of one version, arm and tenant, before they are counted; ``own``: whether
    the version itself answered each."""

    rows: Rows = field(default_factory=Rows)
    own: list[bool] = field(default_factory=list[bool])
    latencies: list[int] = field(default_factory=list[int])
    traffic: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TRAFFIC, 0))


def _at(gathered: dict[_Place, _WindowRows], place: _Place) -> _WindowRows:
    found = gathered.get(place)
    if found is None:
        found = gathered[place] = _WindowRows()
    return found
