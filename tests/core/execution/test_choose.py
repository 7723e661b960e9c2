"""Which runtime serves a version: the most preferred that nothing keeps back."""

from __future__ import annotations

import itertools

import pytest

from windvane.core.execution import SANDBOXED, Offer, RuntimeName, choose_runtime


@pytest.mark.parametrize("first", list(itertools.permutations(range(3))))
def test_the_order_of_the_offers_does_not_matter(first: tuple[int, ...]) -> None:
    offers = [
        Offer(RuntimeName.PYFUNC, True),
        Offer(RuntimeName.ONNX, False, "differs by 0.07"),
        Offer(RuntimeName.SKLEARN, True),
    ]
    choice = choose_runtime([offers[i] for i in first])
    assert choice is not None
    assert choice.runtime is RuntimeName.SKLEARN
    assert choice.passed_over == {"onnx": "differs by 0.07", "pyfunc": "slower here than sklearn"}
    assert choice.sandboxed
    assert choice.needs_trust


@pytest.mark.parametrize("name", list(RuntimeName))
@pytest.mark.parametrize("runs_code", [True, False])
def test_programs_run_apart_whether_or_not_they_need_trust(
    name: RuntimeName, runs_code: bool
) -> None:
    choice = choose_runtime([Offer(name, runs_code)])
    assert choice is not None
    assert choice.sandboxed == (name in SANDBOXED)
    assert choice.needs_trust == runs_code
    assert name.value in choice.reason


def test_nothing_is_chosen_of_nothing() -> None:
    assert choose_runtime([]) is None
    assert choose_runtime([Offer(RuntimeName.ONNX, False, "no graph")]) is None


def test_what_is_code_is_never_preferred_to_what_is_data() -> None:
    order = list(RuntimeName)
    data = [name for name in order if name not in SANDBOXED]
    assert order[: len(data)] == data
