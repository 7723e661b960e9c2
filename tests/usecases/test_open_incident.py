"""One cause is one incident: opened and told once, extended while open, closed, and opened anew."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from usecases.house import FILE, MODEL, START, House

from windvane.core.alerting import Cause, CauseKind, severity_of
from windvane.core.journal import Effect
from windvane.ports.control_store import Incident
from windvane.usecases.open_incident import RUNBOOKS, close_incident, open_incident
from windvane.usecases.publish_routing import NOTIFY
from windvane.usecases.read_model_file import read_model_file

WEATHER = Cause(CauseKind.FEED, "weather")
MODEL_FILE = read_model_file(FILE)


def tell(
    house: House,
    cause: Cause = WEATHER,
    title: str = "nulls rose",
    since: float = START - 60.0,
    evidence: dict[str, Any] | None = None,
    done: list[str] | None = None,
) -> tuple[Effect, ...]:
    with house.store.begin() as tx:
        return open_incident(
            tx, MODEL_FILE, cause, title=title, now=house.clock.now(), since=since,
            evidence=evidence or {}, decision="d1", done=done or [],
        )  # fmt: skip


def close(house: House, cause: Cause = WEATHER) -> bool:
    with house.store.begin() as tx:
        return close_incident(
            tx, MODEL, cause, now=house.clock.now(), decision="d2", lines=["well again"]
        )


def suspects(*sizes: tuple[str, float]) -> dict[str, Any]:
    return {"suspects": [{"feature": name, "size": size} for name, size in sizes]}


def test_it_is_opened_with_all_that_a_person_needs(house: House) -> None:
    evidence = suspects(("temp", 0.9))
    (effect,) = tell(house, done=["version 2 stands in"], evidence=evidence)
    (found,) = house.incidents()
    assert found == Incident(
        found.id, MODEL, "feed:weather", "feed", "high", "nulls rose", START, START - 60.0, None,
        "ops #ops-ml", "runbooks/feed-broken.md", evidence,
    )  # fmt: skip
    assert house.timeline(found) == ["nulls rose", "version 2 stands in"]
    assert effect.kind == NOTIFY
    assert effect.body["title"] == "[high] delay"
    assert effect.body["body"].splitlines() == [
        "nulls rose", "version 2 stands in",
        "owner: ops #ops-ml", "runbook: runbooks/feed-broken.md",
    ]  # fmt: skip


def test_another_alarm_of_the_cause_joins_and_tells_nobody(house: House) -> None:
    tell(house, evidence={**suspects(("temp", 0.4)), "kinds": ["nulls"], "first_window": 1.0})
    house.clock.at += 60.0
    fresh = {**suspects(("wind", 0.5), ("temp", 0.3)), "kinds": ["values"], "first_window": 2.0}
    assert tell(house, title="values moved", since=START - 600.0, evidence=fresh) == ()
    (found,) = house.incidents()
    assert found.opened_at == START
    assert found.since == START - 600.0  # the earliest that is known by now
    assert found.evidence["suspects"] == suspects(("wind", 0.5), ("temp", 0.4))["suspects"]
    assert found.evidence["kinds"] == ["nulls", "values"]
    assert found.evidence["first_window"] == 1.0
    assert house.timeline(found) == ["nulls rose", "values moved"]


def test_a_later_estimate_does_not_shorten_it(house: House) -> None:
    tell(house, since=START - 600.0)
    tell(house, since=START)
    assert house.incidents()[0].since == START - 600.0


def test_other_causes_are_other_incidents(house: House) -> None:
    for cause in (WEATHER, Cause(CauseKind.FEED, "plan"), Cause(CauseKind.TENANT, "weather")):
        assert len(tell(house, cause)) == 1
    assert len(house.incidents()) == 3


def test_closing_ends_it_and_the_next_alarm_is_news(house: House) -> None:
    tell(house)
    house.clock.at += 60.0
    assert close(house)
    (found,) = house.incidents()
    assert found.closed_at == START + 60.0
    assert house.timeline(found)[-1] == "well again"
    house.clock.at += 60.0
    assert len(tell(house)) == 1
    assert [i.closed_at for i in house.incidents()] == [None, START + 60.0]


def test_closing_what_is_not_open_does_nothing(house: House) -> None:
    assert not close(house)
    tell(house)
    assert close(house)
    assert not close(house)
    assert house.timeline(house.incidents()[0]) == ["nulls rose", "well again"]


def test_every_kind_of_cause_has_a_runbook() -> None:
    assert set(RUNBOOKS) == {kind.value for kind in CauseKind}


@settings(max_examples=20)
@given(
    st.lists(
        st.tuples(st.sampled_from(["alarm", "close"]), st.sampled_from(list(CauseKind))),
        max_size=20,
    )
)
def test_a_cause_is_told_once_between_two_closings(
    house_of: Any, steps: list[tuple[str, CauseKind]]
) -> None:
    with house_of() as house:
        opened: set[CauseKind] = set()
        for what, kind in steps:
            house.clock.at += 60.0
            cause = Cause(kind, "x")
            if what == "alarm":
                assert len(tell(house, cause)) == (kind not in opened)
                opened.add(kind)
            else:
                assert close(house, cause) == (kind in opened)
                opened.discard(kind)
        alive = [i for i in house.incidents() if i.closed_at is None]
        assert sorted(i.kind for i in alive) == sorted(kind.value for kind in opened)
        assert all(i.severity == severity_of(CauseKind(i.kind)).value for i in alive)


def test_an_incident_is_never_overwritten(house: House) -> None:
    tell(house)
    close(house)
    tell(house)
    assert len(house.incidents()) == 2


def test_tenants_with_similar_names_have_their_own(house: House) -> None:
    tell(house, Cause(CauseKind.TENANT, "a/b"))
    tell(house, Cause(CauseKind.TENANT, "a-b"))
    assert len(house.incidents()) == 2
