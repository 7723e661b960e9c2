"""Models of other tasks beside the first one, in one home; and rows that break a contract.

All have a hundred trees, by the same learner, of the same features and rows.
"""

from __future__ import annotations

import itertools
import math
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import joblib
import msgspec
import numpy as np
import pyarrow as pa
import yaml
from numpy.typing import NDArray
from pyarrow import parquet

from windvane.usecases.training_options import Recipe, TrainingOrder

from .asks import Ask, Floats
from .beside import Asked, Side, side_by_side
from .load import Load
from .measuring import Bench, Turns
from .model import MODEL, TREES, Model, model_body, python_path, run, run_windvane
from .processes import ServerFailed
from .rows import FEATURES, Rows
from .windvane_server import windvane_with

BINARY, REGRESSION, MULTICLASS = TASKS = ("binary", "regression", "multiclass")
CLASSES = 10
GOOD, BAD = "good rows", "bad rows"
GOOD_RATE = 2_000.0  # good requests a second
BAD_SHARE = 0.3  # of all
_MODELS = {
    BINARY: MODEL, REGRESSION: "flight-delay", MULTICLASS: "flight-band", GOOD: "flight-named",
}  # fmt: skip
_CATEGORY = "flight"
_ANY_MAE = 1e6  # minutes
_EVERY = 20  # every twentieth flight: as many trees and leaves as of more rows, sooner
_CLIP = 120.0  # minutes
_CHECKED = 64
_encode = msgspec.json.Encoder().encode

TaskTurn = dict[str, Load]
BadTurn = dict[str, Load]
"""Good ones alone, good ones beside bad ones, the bad ones: by these names."""
ALONE, BESIDE = "alone", "beside"


@dataclass(frozen=True, slots=True)
class Labels:
    """Of each row what the models learn: minutes late, at most two hours to either side; in
    which tenth of all it is."""

    delay: Floats
    band: NDArray[np.int64]

    @staticmethod
    def of(rows: Rows) -> Labels:
        edges = np.quantile(rows.delay, np.arange(1, CLASSES) / CLASSES)
        return Labels(np.clip(rows.delay, -_CLIP, _CLIP), np.digitize(rows.delay, edges))


def band_name(band: int) -> str:
    return f"tenth-{band}"


def flight_names(rows: Rows) -> list[str]:
    """A name for each row's flight number: thousands of them, and close to each other."""
    numbers = rows.values[:, FEATURES.index("flight_number")].astype(int)
    return [f"flight-{number:04d}" for number in numbers.tolist()]


def add_models(bench: Bench) -> Model:
    """A copy of the run's home with the other models in it, each trained and deployed."""
    folder, rows = bench.folder / "more", bench.rows
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    home = folder / "home"
    shutil.copytree(bench.model.home, home)
    labels, names = Labels.of(rows), flight_names(rows)
    bands = [band_name(band) for band in labels.band.tolist()]
    classes = [band_name(band) for band in range(CLASSES)]
    known: dict[str, Any] = {"type": "category", "known": sorted(set(names))}
    for name, predicts, label, more, rounds in (
        (_MODELS[REGRESSION], {"kind": "regression", "outcome": "label"}, labels.delay, {}, TREES),
        # A round of boosting has a tree for each class.
        (_MODELS[MULTICLASS], {"kind": "multiclass", "outcome": "label", "classes": classes},
         bands, {}, TREES // CLASSES),
        (_MODELS[GOOD], {"kind": "binary", "outcome": "label"}, rows.late,
         {_CATEGORY: known}, TREES),
    ):  # fmt: skip
        bench.say(f"{name}: apply, train, deploy")
        body: dict[str, Any] = {**model_body(name, rows), "predicts": predicts}
        # What is compared is how fast they are, whatever they have learnt.
        body["train"] = {"floor": _ANY_MAE if name == _MODELS[REGRESSION] else 0.0}
        if more:
            body["features"]["named"] = more
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(body, sort_keys=False))
        columns: dict[str, Any] = {n: rows.values[::_EVERY, i] for i, n in enumerate(FEATURES)}
        columns |= {_CATEGORY: names[::_EVERY]} if more else {}
        columns |= {"label": label[::_EVERY], "asked_at": rows.times[::_EVERY]}
        parquet.write_table(pa.table(columns), folder / f"{name}.parquet")
        run_windvane(home, "apply", str(folder / f"{name}.yaml"))
        table = str(folder / f"{name}.parquet")
        run(
            [sys.executable, "-m", "serving.train", str(folder / f"{name}.joblib"), str(rounds)],
            {"WINDVANE_HOME": str(home), "PYTHONPATH": python_path()},
            msgspec.json.encode(TrainingOrder(name, table, "label", "asked_at", Recipe())),
        )
        run_windvane(home, "deploy", name, "1")
        trees = count_trees(joblib.load(folder / f"{name}.joblib"))
        if trees != TREES:
            raise ServerFailed(f"{name} has {trees} trees, {TREES} are compared")
    return Model(home, bench.model.key, bench.model.estimator)


def count_trees(estimator: Any) -> int:
    """Of scikit-learn's histogram gradient boosting: a round has one for each class."""
    return int(estimator.n_iter_ * estimator.n_trees_per_iteration_)


def task_asks(bench: Bench, model: Model) -> list[Ask]:
    """One row a request, of each task."""
    rows = bench.rows.values
    folder = model.home.parent
    few = rows[:_CHECKED]
    classes = [band_name(band) for band in range(CLASSES)]

    def multiclass(answer: bytes) -> Floats:
        by_class = _prediction(answer)["outputs"]["probabilities"]
        return np.array([by_class[name] for name in classes])

    estimators = {
        task: joblib.load(folder / f"{_MODELS[task]}.joblib") for task in (REGRESSION, MULTICLASS)
    }
    # Its classes are the places of their names.
    expected = {
        BINARY: bench.model.probabilities(few)[:, None],
        REGRESSION: estimators[REGRESSION].predict(few)[:, None],
        MULTICLASS: estimators[MULTICLASS].predict_proba(few),
    }
    reads: dict[str, Callable[[bytes], Floats]] = {
        BINARY: _value, REGRESSION: _value, MULTICLASS: multiclass,
    }  # fmt: skip
    return [
        Ask(task, _path(task), lambda: _good_bodies(rows), len(rows), reads[task],
            expected[task], _headers(model))
        for task in TASKS
    ]  # fmt: skip


def row_asks(bench: Bench, model: Model) -> list[Ask]:
    """Good rows, and rows that each break the contract in another way."""
    rows, names = bench.rows.values, flight_names(bench.rows)
    estimator = joblib.load(model.home.parent / f"{_MODELS[GOOD]}.joblib")
    inputs = next((model.home / "artifacts" / _MODELS[GOOD]).rglob("inputs.json"))
    codes = vocabulary(inputs.read_bytes())
    few = np.column_stack([rows[:_CHECKED], [codes.get(n, math.nan) for n in names[:_CHECKED]]])
    good = Ask(
        GOOD, _path(GOOD), lambda: _good_bodies(rows, names), len(rows), _value,
        estimator.predict_proba(few)[:, 1:], _headers(model),
    )  # fmt: skip
    bad = Ask(
        BAD, _path(GOOD), lambda: bad_bodies(rows, names), len(rows), _value, None,
        _headers(model),
    )  # fmt: skip
    return [good, bad]


def vocabulary(inputs: bytes) -> dict[str, float]:
    """Of a version's inputs.json: each known name's number."""
    (named,) = [one for one in msgspec.json.decode(inputs) if one["feature"] == _CATEGORY]
    return {name: float(code) for code, name in enumerate(named["vocabulary"])}


def bad_bodies(rows: Floats, names: Sequence[str]) -> Iterator[bytes]:
    """Each row broken by one of several ways in turn."""
    ways = itertools.cycle(BROKEN.values())
    for row, name, way in zip(rows, names, ways, strict=False):
        features: dict[str, Any] = dict(zip(FEATURES, row.tolist(), strict=True))
        yield way({**features, _CATEGORY: name})


def _near_miss(features: dict[str, Any]) -> bytes:
    return _body({**features, _CATEGORY: features[_CATEGORY] + "x"})


def _unknown(features: dict[str, Any]) -> bytes:
    return _body({**features, _CATEGORY: "no such flight"})


def _wrong_type(features: dict[str, Any]) -> bytes:
    return _body({**features, "distance": "far"})


def _nan(features: dict[str, Any]) -> bytes:
    # No JSON, but what Python's encoder writes.
    return _body({**features, "temp": 1.5e300}).replace(b"1.5e300", b"NaN")


def _missing(features: dict[str, Any]) -> bytes:
    return _body({name: value for name, value in features.items() if name != "humid"})


def _misspelt(features: dict[str, Any]) -> bytes:
    return _body({name.replace("e", "a"): value for name, value in features.items()})


BROKEN: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "a category's name that nearly is a known one": _near_miss,
    "an unknown category": _unknown,
    "text for a number": _wrong_type,
    "NaN": _nan,
    "a missing feature": _missing,
    "features' names that are nearly right": _misspelt,
}


def take_tasks(bench: Bench, model: Model, plan: Turns, warmup_s: float) -> list[TaskTurn]:
    """One server, the tasks by turns, as fast as it can. Raises one of FAILURES."""
    asked = Asked(_server("Windvane, three tasks", model), lambda _: task_asks(bench, model))
    with side_by_side(bench, [asked], warmup_s, plan.connections) as (side,):
        turns: list[TaskTurn] = []
        for turn in range(plan.turns_of_tasks):
            order = TASKS[turn % len(TASKS) :] + TASKS[: turn % len(TASKS)]
            with side.awake():
                turns.append({t: side.closed(t, plan.connections, plan.seconds) for t in order})
            told = ", ".join(f"{task} {turns[-1][task].rps:,.0f}/s" for task in TASKS)
            bench.say(f"turn {len(turns)}/{plan.turns_of_tasks}: {told}")
        return turns


def take_bad_rows(bench: Bench, model: Model, plan: Turns, warmup_s: float) -> list[BadTurn]:
    """Good rows at a fixed rate, alone and beside bad ones by turns. Raises one of FAILURES."""
    asked = Asked(_server("Windvane, bad rows", model), lambda _: row_asks(bench, model))
    with side_by_side(bench, [asked], warmup_s, plan.connections) as (side,):
        turns: list[BadTurn] = []
        for turn in range(plan.turns_of_bad_rows):
            with side.awake():
                turns.append(_bad_turn(side, plan.seconds_at_half, alone_first=turn % 2 == 0))
            told = ", ".join(f"{name} p99 {load.p99_ms:.2f} ms" for name, load in turns[-1].items())
            bench.say(f"turn {len(turns)}/{plan.turns_of_bad_rows}: {told}")
        return turns


def _bad_turn(side: Side, seconds: float, *, alone_first: bool) -> BadTurn:
    found: BadTurn = {}
    for alone in (alone_first, not alone_first):
        if alone:
            found[ALONE] = side.fixed(GOOD, GOOD_RATE, seconds)
        else:
            rate = GOOD_RATE * BAD_SHARE / (1 - BAD_SHARE)
            found[BESIDE], found[BAD] = side.fixed_beside(GOOD, GOOD_RATE, BAD, rate, seconds)
    return found


def _server(name: str, model: Model) -> Any:
    return windvane_with(name, lambda _: {}, model)


def _path(task: str) -> str:
    return f"/v1/models/{_MODELS[task]}/predict"


def _headers(model: Model) -> dict[str, str]:
    return {"Content-Type": "application/json", "Authorization": f"Bearer {model.key}"}


def _good_bodies(rows: Floats, names: Sequence[str] | None = None) -> Iterator[bytes]:
    for i, row in enumerate(rows):
        features: dict[str, Any] = dict(zip(FEATURES, row.tolist(), strict=True))
        yield _body(features if names is None else {**features, _CATEGORY: names[i]})


def _body(features: dict[str, Any]) -> bytes:
    return _encode({"instances": [{"features": features}]})


def _prediction(answer: bytes) -> dict[str, Any]:
    return msgspec.json.decode(answer)["predictions"][0]


def _value(answer: bytes) -> Floats:
    return np.array([_prediction(answer)["value"]], np.float64)
