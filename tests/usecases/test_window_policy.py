"""What a file means for its judges: one budget over every stream of the installation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from usecases.harness import FILE

from windvane.core.drift import Kind
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.window_policy import window_policy

MODEL_FILE = read_model_file(FILE)
A_DAY = 86_400.0


def test_the_files_words_become_numbers() -> None:
    policy = window_policy(MODEL_FILE, models=1, tenants=2)
    assert (policy.window_s, policy.grace_s, policy.min_rows) == (60.0, 0.0, 20)
    assert (policy.recent_s, policy.drift_over_s) == (1_800.0, 1_200.0)
    assert (policy.refusals.allowed, policy.refusals.code) == (0.05, "CON")
    assert (policy.errors.allowed, policy.errors.code) == (0.02, "SLO")
    assert policy.sudden_shift.material == {Kind.DRIFT: 0.2, Kind.VALUES: 0.3, Kind.NULLS: 0.05}


def test_one_budget_is_shared_by_every_stream() -> None:
    """Two streams a feature, one a tenant, one for errors; 1,440 windows a day."""
    policy = window_policy(MODEL_FILE, models=1, tenants=2)
    streams = 2 * 3 + 2 + 1
    assert policy.sudden_shift.alarm_at == pytest.approx(streams * A_DAY / 60.0)
    assert policy.refusals.alarm_at == policy.errors.alarm_at == policy.sudden_shift.alarm_at
    assert policy.training_drift.alarm_at == pytest.approx((3 + 1) * A_DAY / 1_200.0)


@given(st.integers(1, 50), st.integers(0, 200), st.floats(0.1, 20))
def test_false_alarms_of_all_models_together_keep_to_the_budget(
    models: int, tenants: int, allowed: float
) -> None:
    """Every stream alarms at most once in ``alarm_at`` windows, in the long run."""
    text = FILE.replace("1 per day", f"{allowed:.3f} per day")
    policy = window_policy(read_model_file(text), models=models, tenants=tenants)
    streams = models * (2 * 3 + tenants + 1)
    assert streams / policy.sudden_shift.alarm_at * A_DAY / 60.0 <= allowed * (1 + 1e-3)
