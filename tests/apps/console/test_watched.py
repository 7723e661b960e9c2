"""A model that is served elsewhere is not said to answer anybody here."""

from __future__ import annotations

import pytest

from windvane.apps.console.reading import IncidentPage
from windvane.apps.console.story import answered_now
from windvane.apps.console.views import weights_now
from windvane.ports.control_store import Deployment, Incident
from windvane.usecases.monitors.refusals import TENANT
from windvane.usecases.read_model_file import read_model_file

FILE = read_model_file("model: m\nfeatures: {v: {f: {type: number}}}\n")
LIVE = Deployment("m", champion="1")


@pytest.mark.parametrize(
    ("watched", "sentence", "role"),
    [
        (True, "version 1 is watched here; another service answers", "watched"),
        (False, "version 1 answers everyone", "champion"),
    ],
)
def test_who_answers_is_said(watched: bool, sentence: str, role: str) -> None:
    kind = TENANT.name
    incident = Incident("i", "m", "c", kind, "page", "t", 2.0, 1.0, None, "o", "r")
    assert answered_now(IncidentPage(incident, (), {}, LIVE, watched, FILE)) == sentence
    assert [weight.role for weight in weights_now(LIVE, watched=watched)] == [role]
