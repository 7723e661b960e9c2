"""The zoo: models of every usual kind are served as their own library answers, or refused for a
reason that was written down beforehand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from usecases.registration import Registration
from zoo.animals import ANIMALS, REFUSED, Animal, columns_of, data_of, frame_of, labels_of, text_of
from zoo.modules import MODULES

from windvane.core.errors import WindvaneError
from windvane.core.explanation import Scale
from windvane.core.task import make_task
from windvane.ports.runtime import Explainer
from windvane.usecases.accept_candidate import Trained

pytestmark = [
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Found unknown categories:UserWarning"),
    pytest.mark.filterwarnings("ignore:X does not have valid feature names:UserWarning"),
]
COMPARED = 200
BOOSTERS = ("xgboost: ", "lightgbm: ")
UNSEEN = "~ never seen"


def case(animal: Animal, *given: Any) -> Any:
    marks = [pytest.mark.slow] if animal.slow else []
    return pytest.param(animal, *given, id=f"{animal.name} ({animal.task})", marks=marks)


@pytest.mark.parametrize("animal", [case(animal) for animal in ANIMALS])
def test_it_answers_as_its_own_library(
    animal: Animal, registration: Registration, tmp_path: Path
) -> None:
    registration.apply(text_of(animal, "one"))
    frame = frame_of(animal)
    path, answers = animal.make(tmp_path, frame, labels_of(animal.task))
    done = registration.register(path, animal.options, data=data_of(animal), model="one")
    rows = asked(animal, frame)
    found = registration.served(done, columns_of(rows))
    if isinstance(found, list):
        found = np.stack(found, axis=1)
    expected = np.asarray(answers(rows), np.float64)
    assert found.shape == expected.shape
    known = np.isfinite(expected).all(axis=1) if expected.ndim > 1 else np.isfinite(expected)
    assert known.all()
    assert np.abs(found - expected).max() <= animal.tolerance
    check_explanations(animal, registration, done, columns_of(rows))


def check_explanations(
    animal: Animal, registration: Registration, done: Trained, columns: Mapping[str, Sequence[Any]]
) -> None:
    """A booster explains its own answers, and what it says adds up to them."""
    predictor = registration.load(done, trusted=True)
    explains = isinstance(predictor, Explainer)
    assert explains == (animal.name.startswith(BOOSTERS) and "pickle" not in animal.name)
    if explains:
        names = registration.contract(done).names
        task = make_task(registration.contract(done).task)
        rows = [
            predictor.encode(row) for row in zip(*(columns[name] for name in names), strict=True)
        ]
        answers = [row for row in task.rows(predictor.predict(rows)) if row is not None]
        numbers = [task.explained(row) for row in answers]
        asked = [(n, n.of(row)) for n, row in zip(numbers, answers, strict=True) if n]
        assert len(asked) == len(rows)
        for explained, (number, value) in zip(predictor.explain(rows, asked), asked, strict=True):
            total = explained.base + sum(explained.contributions.values())
            assert explained.output == number.name
            assert back(explained.scale, total, value) == pytest.approx(value, abs=1e-4, rel=1e-4)
            assert set(explained.contributions) <= set(names)
    predictor.close()


def back(scale: Scale, total: float, value: float) -> float:
    """The answer that a sum on a scale stands for; scores of several classes are held against
    the others by `scale_of` itself."""
    match scale:
        case Scale.LOG_ODDS:
            return 1.0 / (1.0 + math.exp(-total))
        case Scale.LOG:
            return math.exp(total)
        case Scale.OUTPUT:
            return total
        case Scale.SCORE:
            return value


def asked(animal: Animal, frame: pd.DataFrame) -> pd.DataFrame:
    """Real rows; the last 40 have gaps, and categories that training never saw, as far as the
    library takes them."""
    rows = frame.iloc[:COMPARED].reset_index(drop=True)
    if "n2" in rows and not animal.full:
        rows.loc[160:, "n2"] = np.nan
    refuses = animal.name.startswith("xgboost")  # an unseen category is an error to it
    if "c" in rows and not refuses:
        rows.loc[180:, "c"] = UNSEEN
    if "gap" in rows:
        rows.loc[170:175, "gap"] = None
    return rows


@pytest.mark.parametrize(
    ("animal", "says"), [case(refused.animal, refused.says) for refused in REFUSED]
)
def test_it_is_refused_for_its_reason(
    animal: Animal, says: str, registration: Registration, tmp_path: Path
) -> None:
    frame, labels = frame_of(animal), labels_of(animal.task)
    path, _ = animal.make(tmp_path, frame, labels)
    data = data_of(animal)
    if "binary" in animal.name:
        animal = replace(animal, task="binary")
        data = data_of(animal)
    registration.apply(text_of(animal, "one"))
    with pytest.raises(WindvaneError, match=says):
        registration.register(path, animal.options, data=data, model="one")
    assert registration.versions("one") == []


def test_every_animal_is_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "zoo.md").read_text()
    for animal in [*ANIMALS, *(refused.animal for refused in REFUSED), *MODULES]:
        assert f"| {animal.name} | {animal.task} |" in page
