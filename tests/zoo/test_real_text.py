"""A real model of texts, in the sandbox, against its own libraries; over HTTP it is asked by
`tests/journeys/test_real_models.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from journeys.real_models import SUBJECTS, text_model
from usecases.registration import Registration

from windvane.ports.learner import TrainingData
from windvane.usecases.register_version import RegistrationOptions

pytestmark = [
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*Add type hints to the:UserWarning"),
]


def test_embeddings_of_texts_answer_as_their_own_library(
    registration: Registration, tmp_path: Path
) -> None:
    model = text_model(tmp_path)
    frame = pd.read_parquet(model.table)
    codes = {name: float(i) for i, name in enumerate(SUBJECTS)}
    data = TrainingData(
        {"sentence": frame.sentence.tolist()},
        frame.subject.map(codes).to_numpy(),
        frame.known_at.to_numpy(),
    )
    registration.apply(model.text)
    options = RegistrationOptions(trust=True, classes=tuple(SUBJECTS))
    done = registration.register(model.source, options, data=data, model=model.name)
    sentences = [row["sentence"] for row in model.rows]
    found = registration.served(done, {"sentence": sentences})
    assert np.shape(found) == model.expected.shape
    assert np.abs(found - model.expected).max() <= model.tolerance
    likeliest = [list(SUBJECTS)[i] for i in np.argmax(found, axis=1)]
    assert model.right(likeliest) >= model.least_right
