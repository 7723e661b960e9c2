"""Who mutes whom while a model answers nothing."""

from __future__ import annotations

import pytest

from windvane.core.alerting import CANARY, CauseGroup, CauseKind
from windvane.core.alerting.inhibit import fails_entirely, find_inhibitor


def kind(group: CauseGroup) -> CauseKind:
    return CauseKind(group.value, group, "x.md")


@pytest.mark.parametrize("child", [CauseGroup.DRIFT, CauseGroup.QUALITY, CauseGroup.TENANT])
@pytest.mark.parametrize("parent", [CauseGroup.FAILING, CauseGroup.SLO])
def test_a_failing_model_explains_what_its_answers_look_like(
    child: CauseGroup, parent: CauseGroup
) -> None:
    others = [("canary-1", CANARY), ("feed-1", kind(CauseGroup.BROKEN_INPUT))]
    assert find_inhibitor(kind(child), others) == ""
    assert find_inhibitor(kind(child), [*others, ("down-1", kind(parent))]) == "down-1"


@pytest.mark.parametrize(
    "child", [CauseGroup.BROKEN_INPUT, CauseGroup.FAILING, CauseGroup.SLO, CauseGroup.ABSENCE]
)
def test_what_may_be_the_reason_is_never_muted(child: CauseGroup) -> None:
    assert find_inhibitor(kind(child), [("down-1", kind(CauseGroup.FAILING))]) == ""
    assert find_inhibitor(CANARY, [("down-1", kind(CauseGroup.FAILING))]) == ""


def test_entirely_is_next_to_all_of_what_was_owed() -> None:
    found = [fails_entirely(*n) for n in ((0, 0), (1, 0), (95, 5), (94, 6), (0, 9))]
    assert found == [False, True, True, False, False]
