"""What a file means for its judges: one budget over every stream of the installation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from usecases.harness import FILE

from windvane.core.drift import Kind
from windvane.usecases.monitors import watch_policy
from windvane.usecases.monitors.sudden_shift import shift_policy
from windvane.usecases.monitors.training_drift import drift_policy
from windvane.usecases.read_model_file import read_model_file

MODEL_FILE = read_model_file(FILE)
A_DAY = 86_400.0


def test_the_files_words_become_numbers() -> None:
    policy = watch_policy(MODEL_FILE, models=1, tenants=2)
    assert (policy.window_s, policy.grace_s, policy.min_rows) == (60.0, 0.0, 20)
    assert (policy.recent_s, policy.drift_over_s) == (1_800.0, 1_200.0)
    shift = shift_policy(MODEL_FILE, policy)
    assert shift.material == {Kind.DRIFT: 0.2, Kind.VALUES: 0.3, Kind.NULLS: 0.05,
                              Kind.OUTAGE: 0.5}  # fmt: skip
    assert shift.alarm_at == policy.alarm_at
    assert drift_policy(MODEL_FILE, policy).alarm_at == policy.slow_alarm_at


def test_one_budget_is_shared_by_every_stream() -> None:
    """Three streams a feature, of everyone and of each tenant, three a tenant (refusals, errors,
    traffic), one each of the model for errors, a stand-in's errors and traffic, and of a champion
    and a challenger two of each output's two axes and one of fallbacks, of a stand-in three; 1,440
    windows a day. Slow ones: one a feature, one a pair of the three and one of them together, four
    of outcomes, and of the truth's three statistics and labels' two faults one of the model and one
    of all tenants."""
    policy = watch_policy(MODEL_FILE, models=1, tenants=2)
    streams = 3 * 3 * (1 + 2) + 3 * 2 + 3 + 2 * (2 * 2 + 1) + 3
    assert policy.alarm_at == pytest.approx(streams * A_DAY / 60.0 / 0.5)
    assert policy.slow_alarm_at == pytest.approx((3 + 4 + 4 + 6 + 4) * A_DAY / 1_200.0 / 0.5)


@given(st.integers(1, 50), st.integers(0, 200), st.floats(0.1, 20))
def test_false_alarms_of_all_models_together_keep_to_the_budget(
    models: int, tenants: int, allowed: float
) -> None:
    """Every stream alarms at most once in ``alarm_at`` windows, in the long run."""
    allowed = round(allowed, 3)
    text = FILE.replace("1 per day", f"{allowed:.3f} per day")
    policy = watch_policy(read_model_file(text), models=models, tenants=tenants)
    streams = models * (3 * 3 * (1 + tenants) + 3 * tenants + 2 + 10 + 3)
    fast = streams / policy.alarm_at * A_DAY / 60.0
    slow = models * (3 + 4 + 4 + 6 + 4) / policy.slow_alarm_at * A_DAY / 1_200.0
    assert fast + slow <= allowed * (1 + 1e-3)
