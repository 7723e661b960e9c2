"""Models of 10 to 40 features and their events, by Zipf laws over models and tenants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import yaml

from windvane.core.sketch import Axis, CategoryAxis, Layout, NumericAxis
from windvane.core.task import make_task
from windvane.ports.control_store import ControlStore, VersionRecord
from windvane.ports.events import EVENT_ENCODER, OutcomeSeen, Predicted, RouteTaken
from windvane.usecases.apply_model import apply_model
from windvane.usecases.read_model_file import ModelFile, read_model_file

START = 1_700_006_400.0
WINDOW_S = 60.0
VERSION = "1"
_BINS = 20
_LABELS = ("b6", "dl", "ev", "mq", "oo", "ua", "us", "wn")
_EVERY_CATEGORY = 5  # one feature of five is a category
_EVERY_OUTCOME = 20  # one event of twenty is an outcome
_POOL = 256  # different rows of a model
_ROUTES = [RouteTaken(VERSION, VERSION, "champion")]
_SLOW_MODEL = 1.1  # exponents of the Zipf laws
_TENANTS = 1.1


@dataclass(frozen=True, slots=True)
class BusinessClock:
    """A machine's clock that stands where the last event was made."""

    at: float

    def now(self) -> float:
        return self.at

    def wall(self) -> float:
        return self.at


@dataclass(frozen=True, slots=True)
class Fleet:
    files: Sequence[ModelFile]
    texts: Sequence[str]
    tenants: Sequence[str]


def make_fleet(models: int, tenants: int) -> Fleet:
    widths = [10 + (i * 7) % 31 for i in range(models)]
    texts = [_text(f"model-{i:04d}", width) for i, width in enumerate(widths)]
    names = [f"t{i:03d}" for i in range(tenants)]
    return Fleet([read_model_file(text) for text in texts], texts, names)


def _text(name: str, width: int) -> str:
    kinds = [
        {"type": "category"} if i % _EVERY_CATEGORY == _EVERY_CATEGORY - 1 else
        {"type": "number", "nullable": True}
        for i in range(width)
    ]  # fmt: skip
    return yaml.safe_dump(
        {
            "model": name,
            "owner": {"team": "bench"},
            "predicts": {"kind": "binary", "outcome": "late"},
            "features": {"source": {f"f{i:02d}": kind for i, kind in enumerate(kinds)}},
            "watch": {"window": f"{WINDOW_S:.0f}s"},
        },
        sort_keys=False,
    )


def install(store: ControlStore, fleet: Fleet) -> None:
    """The models, applied, each with a version whose layout has bins for all of them."""
    clock = BusinessClock(START)
    edges = tuple(np.linspace(-2.0, 2.0, _BINS - 1).tolist())
    for file, text in zip(fleet.files, fleet.texts, strict=True):
        apply_model(store, clock, text)
        axes: list[Axis] = [
            CategoryAxis(spec.name, _LABELS)
            if spec.type == "category"
            else NumericAxis(spec.name, edges)
            for spec in file.contract.features
        ]
        outputs = make_task(file.contract.task).outputs
        axes += [
            NumericAxis(
                "output" if len(outputs) == 1 else one.name,
                tuple(np.linspace(0.05, 0.95, 19).tolist()),
            )
            for one in outputs
        ]
        layout = Layout(tuple(axes))
        with store.begin() as tx:
            tx.put_contract(file.model, file.contract)
            tx.put_layout(layout)
            tx.add_version(
                VersionRecord(
                    file.model, VERSION, "a", "m", layout.id, ("source",), {}, {}, b"", START
                )
            )


def zipf(count: int, exponent: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    weights = np.arange(1, count + 1, dtype=np.float64) ** -exponent
    return weights / weights.sum()


def encoded(
    fleet: Fleet, events: int, a_second: float, *, seed: int = 1, begin: float = START
) -> Iterator[tuple[float, bytes]]:
    """(time, record) of each event, ``a_second`` of them, as a gateway writes them."""
    rng = np.random.default_rng(seed)
    models = rng.choice(len(fleet.files), events, p=zipf(len(fleet.files), _SLOW_MODEL))
    tenants = rng.choice(len(fleet.tenants), events, p=zipf(len(fleet.tenants), _TENANTS))
    places = zip(models.tolist(), tenants.tolist(), strict=True)
    yield from _encoded(fleet, places, rng, a_second, begin)


def encoded_of_each(
    fleet: Fleet, windows: int, *, seed: int = 1, begin: float = START
) -> Iterator[tuple[float, bytes]]:
    """Some events of each model and tenant in each window: as many sketch keys as there are."""
    rng = np.random.default_rng(seed)
    cells = [(m, t) for m in range(len(fleet.files)) for t in range(len(fleet.tenants))]
    for window in range(windows):
        order = rng.permutation(2 * len(cells)).tolist()
        places = (cells[i % len(cells)] for i in order)
        start = begin + WINDOW_S * window
        yield from _encoded(fleet, places, rng, 2 * len(cells) / WINDOW_S, start)


def _encoded(
    fleet: Fleet,
    places: Iterator[tuple[int, int]],
    rng: np.random.Generator,
    a_second: float,
    begin: float,
) -> Iterator[tuple[float, bytes]]:
    pools = [_rows(file, rng) for file in fleet.files]
    word = f"{rng.integers(1 << 62):016x}"
    for i, (model, tenant) in enumerate(places):
        ts = begin + i / a_second
        file, name = fleet.files[model], fleet.tenants[tenant]
        if i % _EVERY_OUTCOME == _EVERY_OUTCOME - 1:
            event: Predicted | OutcomeSeen = OutcomeSeen(
                f"{word}-{i}", ts, file.model, name, file.contract.id, f"{word}-{i - 1}", 0,
                float(i % 2), "key-1",
            )  # fmt: skip
        else:
            values, output = pools[model][i % _POOL]
            event = Predicted(
                f"{word}-{i}", ts, file.model, name, file.contract.id, "", 900 + i % 5_000, 1,
                f"user-{i % 9_973}", _ROUTES, values, output, "", "key-1",
            )  # fmt: skip
        yield ts, EVENT_ENCODER.encode(event)


def _rows(
    file: ModelFile, rng: np.random.Generator
) -> list[tuple[tuple[float | str | None, ...], tuple[float]]]:
    out: list[tuple[tuple[float | str | None, ...], tuple[float]]] = []
    for _ in range(_POOL):
        values = tuple(
            _LABELS[int(rng.integers(len(_LABELS)))]
            if spec.type == "category"
            else (None if rng.random() < 0.01 else float(rng.normal()))
            for spec in file.contract.features
        )
        out.append((values, (float(rng.random()),)))
    return out
