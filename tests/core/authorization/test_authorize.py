"""Who may do what: the matrix as people read it, and laws that hold for all grants."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.authorization import (
    ACTIONS_OF,
    Action,
    AttemptLimit,
    AttemptLimiter,
    BadGrant,
    Grant,
    Principal,
    PrincipalKind,
    Role,
    Subject,
    authorize,
    parse_grant,
    parse_grants,
)

LATE = Subject("late", "ops")
MATRIX = {
    Action.VIEW: "viewer operator approver admin",
    Action.SEE_VALUES: "operator approver admin",
    Action.ACKNOWLEDGE: "operator approver admin",
    Action.SILENCE: "operator approver admin",
    Action.CLOSE_INCIDENT: "operator approver admin",
    Action.ROLL_BACK: "operator approver admin",
    Action.DEPLOY: "operator approver admin",
    Action.TURN_OFF: "operator approver admin",
    Action.PUT_BACK: "operator approver admin",
    Action.TRUST_VERSION: "approver admin",
    Action.DELETE: "admin",
    Action.READ_AUDIT: "admin",
    Action.MANAGE_LIMITS: "admin",
    Action.MANAGE_KEYS: "admin",
    Action.MANAGE_USERS: "admin",
}
ROLES = st.sampled_from(list(Role))
NAMES = st.sampled_from(["late", "seats", "ops", "risk"])
GRANTS = st.one_of(
    st.builds(Grant, ROLES),
    st.builds(lambda role, name: Grant(role, model=name), ROLES, NAMES),
    st.builds(lambda role, name: Grant(role, team=name), ROLES, NAMES),
)
SUBJECTS = st.one_of(st.none(), st.builds(Subject, NAMES, NAMES))


def somebody(*roles: str, kind: PrincipalKind = PrincipalKind.USER) -> Principal:
    return Principal(kind, "ana", parse_grants(roles) if roles else ())


@pytest.mark.parametrize("action", Action)
def test_the_matrix(action: Action) -> None:
    for role in Role:
        allowed = role.value in MATRIX[action].split()
        assert authorize(somebody(role.value), action, None).allowed == allowed
        assert authorize(somebody(role.value), action, LATE).allowed == allowed
    assert not authorize(somebody(), action, None).allowed


@given(st.lists(GRANTS, max_size=5), GRANTS, st.sampled_from(list(Action)), SUBJECTS)
def test_another_grant_never_takes_anything_away(
    grants: list[Grant], more: Grant, action: Action, subject: Subject | None
) -> None:
    before = authorize(Principal(PrincipalKind.USER, "ana", tuple(grants)), action, subject)
    after = authorize(Principal(PrincipalKind.USER, "ana", (*grants, more)), action, subject)
    assert after.allowed or not before.allowed


@given(GRANTS, st.sampled_from(list(Action)), SUBJECTS)
def test_a_grant_on_some_models_is_good_for_nothing_else(
    grant: Grant, action: Action, subject: Subject | None
) -> None:
    allowed = authorize(Principal(PrincipalKind.USER, "ana", (grant,)), action, subject).allowed
    if allowed and subject is not None:
        assert grant.model in ("", subject.model)
        assert grant.team in ("", subject.team)
    of_all = (Action.MANAGE_KEYS, Action.MANAGE_LIMITS, Action.MANAGE_USERS, Action.READ_AUDIT)
    if allowed and action in of_all:
        assert grant.on_everything
    if allowed:
        assert action in ACTIONS_OF[grant.role]


@given(GRANTS)
def test_a_grant_is_read_as_it_is_written(grant: Grant) -> None:
    assert parse_grant(str(grant)) == grant


@pytest.mark.parametrize(
    "text",
    ["", "boss", "viewer@", "viewer@late", "viewer@model:", "viewer@team: x", "viewer@tenant:a",
     "Viewer", "viewer@model:a\n", "viewer@model:" + "x" * 200],
)  # fmt: skip
def test_what_is_no_grant_is_said(text: str) -> None:
    with pytest.raises(BadGrant):
        parse_grant(text)


def test_none_and_too_many_grants_are_refused() -> None:
    with pytest.raises(BadGrant):
        parse_grants([])
    with pytest.raises(BadGrant, match="65 roles, 64 allowed"):
        parse_grants([f"viewer@model:m{i}" for i in range(65)])


@pytest.mark.parametrize(
    ("who", "allowed"),
    [
        (somebody("viewer"), True),  # by name
        (somebody("viewer@model:late"), True),
        (somebody("viewer@model:seats"), False),  # who may not see it decides nothing
        (Principal(PrincipalKind.OIDC, "ana", (Grant(Role.VIEWER),)), True),
        (Principal(PrincipalKind.KEY, "ana", (Grant(Role.OPERATOR),)), False),
        (Principal(PrincipalKind.USER, "ben", (Grant(Role.APPROVER),)), False),
        (Principal(PrincipalKind.USER, "ben", (Grant(Role.OPERATOR, team="risk"),)), False),
        (Principal(PrincipalKind.USER, "ben", (Grant(Role.OPERATOR, team="ops"),)), True),
        (Principal(PrincipalKind.USER, "ben", (Grant(Role.VIEWER, team="ops"),)), False),
        (Principal(PrincipalKind.KEY, "5f0c", (Grant(Role.VIEWER),)), True),
        (Principal(PrincipalKind.USER, "root", (Grant(Role.ADMIN),)), True),
    ],
)
def test_whom_the_file_names_decides(who: Principal, allowed: bool) -> None:
    subject = Subject("late", "ops", ("ana", "team:ops", "key:5f0c"))
    for action in (Action.ROLL_BACK, Action.DEPLOY):
        assert authorize(who, action, subject).allowed == allowed
    assert (
        authorize(who, Action.TURN_OFF, subject).allowed
        == authorize(who, Action.TURN_OFF, Subject("late", "ops")).allowed
    ), "whoever is there turns it off"


def test_a_refusal_names_both_sides() -> None:
    why = authorize(somebody("viewer@team:risk"), Action.SEE_VALUES, LATE).why_not
    assert why == "user:ana has viewer@team:risk; operator on late is needed to see values"


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.0, 30.0)), max_size=60),
    st.integers(1, 5),
)
def test_no_more_attempts_than_the_limit_in_any_span(
    tries: list[tuple[str, float]], burst: int
) -> None:
    """Of each name at most ``burst``, and one more for each ``per_s`` seconds of the span."""
    limit = AttemptLimit(burst, 10.0)
    limiter = AttemptLimiter(limit, 100)
    taken: dict[str, list[float]] = {}
    now = 0.0
    for name, later in tries:
        now += later
        if limiter.wait_s(name, now) == 0.0:
            limiter.count(name, now)
            taken.setdefault(name, []).append(now)
    for times in taken.values():
        for i, begin in enumerate(times):
            for j in range(i, len(times)):
                assert j - i + 1 <= burst + (times[j] - begin) / limit.per_s + 1e-6


def test_the_limiter_is_bounded_and_its_wait_is_enough() -> None:
    limiter = AttemptLimiter(AttemptLimit(2, 10.0), most=3)
    for name in "abcdef":
        limiter.count(name, 0.0)
    assert len(limiter) == 3
    limiter.count("f", 0.0)
    wait = limiter.wait_s("f", 0.0)
    assert wait == 10.0
    assert limiter.wait_s("f", wait) == 0.0
    limiter.forget("f")
    assert limiter.wait_s("f", 0.0) == 0.0
