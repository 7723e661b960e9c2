"""The routing table that follows from the control state."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from usecases.harness import FILE, MODEL, Harness

from windvane.core.journal import Effect
from windvane.core.routing import ModelRoute, RuleStep
from windvane.ports.control_store import ModelRecord, Trust, VersionRecord
from windvane.usecases.actions import About, Asked, action_named, perform
from windvane.usecases.deliver_effects import deliver_effects
from windvane.usecases.issue_key import issue_keys
from windvane.usecases.publish_routing import (
    PUBLISH,
    mend_feed,
    publish_latest,
    routing_effects,
    version_without,
)
from windvane.usecases.revoke_key import revoke_key


def route(harness: Harness, **live: Any) -> ModelRoute:
    """Delay's route as it follows from the deployment given."""
    harness.put(**live)
    with harness.store.begin() as tx:
        (effect,) = routing_effects(tx)
        table = tx.routing(int(effect.body["seq"]))
    assert table is not None
    return table.models[MODEL]


def test_a_plain_deployment(harness: Harness) -> None:
    found = route(harness, champion="1", previous="2")
    assert (found.model, found.champion, found.challenger, found.rollout) == (MODEL, "1", None, "")
    assert found.chain == ("2",)  # the previous one, which is also the one without weather
    assert found.constant == (0.2,)
    assert found.deadline_s == 0.25
    assert [entry.version for entry in found.versions] == ["1", "2"]
    assert found.versions[0].artifact == "artifacts/1"
    assert found.contract.names == ("distance", "carrier", "temp")
    assert found.optional == ()
    assert found.needs("2") == {"distance", "carrier"}


def test_a_rollout_names_its_step(harness: Harness) -> None:
    found = route(harness, champion="1", challenger="2", share=0.5, step=1, rollout="delay/2/9")
    assert (found.challenger, found.challenger_share, found.rollout) == ("2", 0.5, "delay/2/9#1")


def test_the_chain_skips_what_there_is_not(harness: Harness) -> None:
    assert route(harness, champion="1").chain == ("2",)  # no previous
    text = FILE.replace("fallback: [previous, {without: weather}, {constant: 0.2}]", "fallback: []")
    harness.clock.at += 1
    harness.apply(text)
    found = route(harness, champion="1", previous="2")
    assert (found.chain, found.constant) == ((), None)
    assert [entry.version for entry in found.versions] == ["1"]


def test_every_version_that_may_answer_has_its_files(harness: Harness) -> None:
    harness.add_version("3")
    harness.add_version("4")
    found = route(harness, champion="1", previous="3", challenger="4", share=0.1, standing_in="2")
    named = {found.champion, found.challenger, found.standing_in, *found.chain}
    assert {entry.version for entry in found.versions} == named == {"1", "2", "3", "4"}


def test_models_without_a_deployment_have_no_route(empty_harness: Harness) -> None:
    empty_harness.apply()
    with empty_harness.store.read() as tx:
        table = tx.routing()
    assert table is not None
    assert table.models == {}


def test_sequence_numbers_only_grow(harness: Harness) -> None:
    with harness.store.begin() as tx:
        found = [routing_effects(tx) for _ in range(3)]
    seqs = [effect.body["seq"] for (effect,) in found]
    assert seqs == sorted(set(seqs))
    assert found[0] == (Effect(PUBLISH, {"seq": seqs[0]}),)


def test_all_keys_are_in_it(harness: Harness) -> None:
    harness.add_keys(["ZZ"])
    with harness.store.begin() as tx:
        (effect,) = routing_effects(tx)
        table = tx.routing(effect.body["seq"])
    assert table is not None
    assert {entry.tenant for entry in table.keys} == {"AA", "UA", "ZZ"}


VIEWS = st.lists(st.sampled_from(["plan", "weather", "crew"]), unique=True)


@given(st.lists(VIEWS, max_size=5), VIEWS, st.sets(st.integers(0, 4)))
def test_version_without_is_the_newest_that_needs_none(
    versions: list[list[str]], broken: list[str], rolled_back: set[int]
) -> None:
    records = [
        VersionRecord(MODEL, str(i), "", "", "", tuple(views), {}, {}, b"", float(i))
        for i, views in enumerate(versions)
    ]
    fit = [
        i
        for i, views in enumerate(versions)
        if not set(views) & set(broken) and i not in rolled_back
    ]
    found = version_without(records, tuple(broken), tuple(map(str, sorted(rolled_back))))
    assert found == (str(fit[-1]) if fit else None)


def test_a_version_that_was_rolled_back_does_not_stand_in(harness: Harness) -> None:
    harness.add_version("3", ["plan"])
    assert route(harness, champion="1").chain == ("3",)
    assert route(harness, champion="1", rolled_back=("3",)).chain == ("2",)


def test_a_revoked_key_is_not_in_it(harness: Harness) -> None:
    with harness.store.begin() as tx:
        kept, ended = tx.key_records()
        tx.put_key(replace(ended, revoked_at=1.0))
        (effect,) = routing_effects(tx)
        table = tx.routing(effect.body["seq"])
    assert table is not None
    assert table.keys == (kept.entry,)


def test_the_files_serving_is_in_it(harness: Harness) -> None:
    harness.clock.at += 1
    serving = """
  cache: {ttl: 90s}
  tenants: [AA, ZZ]
  fallback: [{version: 2}, {rule: [{feature: temp, below: 0, give: 0.75}, {give: 0.25}]}]
"""
    text = FILE.replace(
        "  fallback: [previous, {without: weather}, {constant: 0.2}]\n", serving.lstrip("\n")
    )
    harness.apply(text)
    found = route(harness, champion="1", previous="1")
    assert (found.cache_ttl_s, found.tenants) == (90.0, ("AA", "ZZ"))
    assert (found.chain, found.constant) == (("2",), None)
    assert found.rule == (RuleStep((0.75,), "temp", below=0.0), RuleStep((0.25,)))


def test_a_fallback_to_a_version_that_is_not_there_yet_is_left_out(harness: Harness) -> None:
    harness.clock.at += 1
    harness.apply(FILE.replace("fallback: [previous,", 'fallback: [{version: "9"}, previous,'))
    assert route(harness, champion="1", previous="2").chain == ("2",)
    harness.add_version("9")
    assert route(harness, champion="1", previous="2").chain == ("9", "2")


# At once


def test_the_latest_table_is_published_without_a_steward(harness: Harness) -> None:
    keys = issue_keys(harness.store, harness.clock, ["acme"], "test")
    assert harness.feed.latest() is None, "the outbox waits for a steward"
    publish_latest(harness.store, harness.feed)
    told = harness.feed.latest()
    with harness.store.read() as tx:
        assert told == tx.routing()
    revoke_key(harness.store, harness.clock, keys["acme"].split("_")[1])
    publish_latest(harness.store, harness.feed)
    after = harness.feed.latest()
    assert told is not None
    assert after is not None
    assert after.seq > told.seq
    assert len(after.keys) == len(told.keys) - 1


def test_publishing_again_changes_nothing(harness: Harness) -> None:
    issue_keys(harness.store, harness.clock, ["acme"], "test")
    publish_latest(harness.store, harness.feed)
    first = harness.feed.latest()
    assert not harness.feed.changed()
    publish_latest(harness.store, harness.feed)
    nobody: Any = None  # nothing else is queued
    deliver_effects(
        harness.store, harness.clock, harness.feed, nobody, nobody, nobody
    )  # the steward, later
    assert not harness.feed.changed()
    assert harness.feed.latest() == first
    assert harness.queued(PUBLISH) == []


def test_with_nothing_to_publish_nothing_is(empty_harness: Harness) -> None:
    publish_latest(empty_harness.store, empty_harness.feed)
    assert empty_harness.feed.latest() is None


def test_a_store_put_back_from_a_copy_is_obeyed(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    """A key was revoked in words only once: the gateways had a table with a larger number."""
    issue_keys(harness.store, harness.clock, ["acme"], "")
    with harness.store.read() as tx:
        key = next(one for one in tx.key_records() if one.entry.tenant == "acme")
        table = tx.routing()
    assert table is not None
    harness.feed.publish(
        replace(table, seq=table.seq + 40)
    )  # later ones, of the store that is gone
    revoke_key(harness.store, harness.clock, key.entry.id)
    publish_latest(harness.store, harness.feed)
    out = harness.feed.latest()
    assert out is not None
    assert "acme" not in {entry.tenant for entry in out.keys}
    assert out.seq == table.seq + 41
    assert "it was put back from a copy" in caplog.text
    issue_keys(harness.store, harness.clock, ["bolt"], "")
    nobody: Any = None
    deliver_effects(
        harness.store, harness.clock, harness.feed, nobody, nobody, nobody
    )  # the outbox too
    latest = harness.feed.latest()
    assert latest is not None
    assert latest.seq == table.seq + 42
    assert "bolt" in {entry.tenant for entry in latest.keys}


def test_a_file_that_cannot_be_read_any_more_keeps_its_route_and_stops_no_other(
    harness: Harness,
) -> None:
    """A key that is withdrawn is withdrawn, whatever one model's file says."""
    with harness.store.begin() as tx:
        routing_effects(tx)
        before = tx.routing()
        tx.put_model(ModelRecord(MODEL, "model: delay\nwatch: {window: 9s9}\n", 1.0))
        record = tx.key_records()[0]
        tx.put_key(replace(record, revoked_at=1.0))
        routing_effects(tx)
        after = tx.routing()
    assert before is not None
    assert after is not None
    assert after.models == before.models
    assert record.entry not in after.keys


@pytest.mark.parametrize("harm", ["damaged", "missing", "older"])
def test_what_gateways_read_is_mended_without_a_change(harness: Harness, harm: str) -> None:
    with harness.store.begin() as tx:
        routing_effects(tx)
        newest = tx.routing()
    assert newest is not None
    file = harness.folder / "routing.json"
    publish_latest(harness.store, harness.feed)
    assert not mend_feed(harness.store, harness.feed), "nothing is wrong with it"
    if harm == "damaged":
        file.write_text("{broken")
    elif harm == "missing":
        file.unlink()
    else:
        file.unlink()
        harness.feed.publish(replace(newest, seq=newest.seq - 1))
    assert mend_feed(harness.store, harness.feed) is (harm != "older")
    assert harness.feed.latest() == newest


def test_nothing_is_mended_where_nothing_was_ever_published(empty_harness: Harness) -> None:
    assert not mend_feed(empty_harness.store, empty_harness.feed)
    assert empty_harness.feed.latest() is None


@pytest.mark.parametrize("broken", [False, True], ids=["readable", "unreadable"])
def test_what_is_decided_holds_though_the_models_file_cannot_be_read(
    harness: Harness, broken: bool
) -> None:
    """After an upgrade or a restore a file may be beyond this release; an act must not be a word
    only."""

    def act(name: str, about: About = About.MODEL, version: str = "") -> ModelRoute:
        asked = Asked(MODEL, "user:ana", "harm", version)
        perform(harness.store, harness.clock, action_named(name, about), asked)
        with harness.store.read() as tx:
            table = tx.routing()
        assert table is not None
        return table.models[MODEL]

    for version in ("1", "2"):
        harness.add_version(version)
    harness.put("2", previous="1")
    with harness.store.begin() as tx:
        tx.put_trust(Trust("2" * 8, MODEL, "2", "ana", 1.0))
        routing_effects(tx)
        if broken:
            tx.put_model(ModelRecord(MODEL, "model: [", harness.clock.now()))
    route = act("distrust", About.VERSION, "2")
    assert [(v.version, v.trusted) for v in route.versions if v.version == "2"] == [("2", False)]
    route = act("roll-back")
    assert (route.champion, route.previous) == ("1", None)
    assert "1" in {entry.version for entry in route.versions}
    assert act("off").off
    on = act("on")
    assert not on.off
    assert on.contract == route.contract


@pytest.mark.parametrize(
    ("said", "share"),
    [
        ("", 0.02),
        ("tier: critical\n", 0.05),
        ("tier: low\n", 0.01),
    ],
)
def test_a_share_of_requests_by_tier_is_put_to_the_stand_in(
    harness: Harness, said: str, share: float
) -> None:
    harness.clock.at += 1
    harness.apply(FILE + said)
    assert route(harness, champion="1").compared_share == share


def test_without_a_stand_in_or_its_monitor_nothing_is_put_to_it(harness: Harness) -> None:
    """A chain whose versions are not there yet is none."""
    chain = "[previous, {without: weather}, {constant: 0.2}]"
    harness.clock.at += 1
    harness.apply(FILE.replace(chain, "[previous]"))
    assert route(harness, champion="1").compared_share == 0.0
    assert route(harness, champion="1", previous="2").compared_share == 0.02
    harness.clock.at += 1
    harness.apply(FILE.replace(chain, "[{constant: 0.0}]"))
    assert route(harness, champion="1").compared_share == 0.02
    harness.clock.at += 1
    harness.apply(FILE.replace("  errors: 2%\n", "  errors: 2%\n  off: [disagreement]\n"))
    assert route(harness, champion="1").compared_share == 0.0
