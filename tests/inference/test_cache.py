"""An answer is only ever given again to the tenant, model, version and row it was made for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference.harness import (
    ACME,
    BOLT,
    CONTRACT,
    MODEL,
    Harness,
    body,
    entry,
    features,
    key,
    route,
    run,
)

from windvane.core.task import Contract, TaskSpec
from windvane.inference.cache import (
    AnswerCache,
    cache_key,
    cache_prefix,
    pack_outputs,
    unpack_outputs,
)

# Names that would meet if they were joined by a sign, by nothing, or unquoted.
TENANTS = (
    "a", "b", "ab", "a/b", "a\x00b", "a%2Fb", "a%00b", "*", "**", "a b", "a|b", "b/a", "é", "\x00",
    "a/late", "a/late/1", "acme", "acmelate", "tenant", "A", "a\n", "1", "a1", "[a]", '"a"',
)  # fmt: skip
MODELS = ("late", "late-1", "b", "late1", "l")
VERSIONS = ("1", "2", "11", "12")
KEYS = tuple(key(f"k{i}", tenant, "predict") for i, tenant in enumerate(TENANTS))

steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("ask"),
            st.integers(0, len(TENANTS) - 1),
            st.sampled_from(MODELS),
            st.sampled_from([0.0, 1.0, 2.0]),
            st.sampled_from([None, 1, 11]),
        ),
        st.tuples(st.just("deploy"), st.sampled_from(MODELS), st.sampled_from(VERSIONS)),
        st.tuples(st.just("canary"), st.sampled_from(MODELS), st.sampled_from(VERSIONS)),
    ),
    max_size=25,
)


@given(steps)
def test_an_answer_is_given_again_only_to_the_same_tenant_model_version_and_row(
    taken: list[Any],
) -> None:
    async def story(harness: Harness) -> None:
        live = {m: route(m, VERSIONS, cache_ttl_s=60.0) for m in MODELS}
        await harness.publish(*live.values(), keys=KEYS)
        given_before: dict[Any, float] = {}
        for step in taken:
            if step[0] == "ask":
                _, who, model, x, n = step
                answer = await harness.predict(
                    features(x, n), model=model, units=["u"], auth=f"Bearer wv_k{who}"
                )
                assert answer.status == 200, answer.body
                (row,) = answer.rows
                name = (TENANTS[who], model, row["version"], x, n)
                executed = harness.predictor(row["version"], model).offset + x / 1_000
                assert row["value"] == executed, "another model's or version's answer"
                if live[model].challenger:
                    assert "cached" not in row["flags"], "cached while a challenger is measured"
                    continue
                assert row["version"] == live[model].champion
                assert ("cached" in row["flags"]) == (name in given_before)
                given_before[name] = row["value"]
                continue
            _, model, version = step
            changed = {"champion": version, "challenger": None}
            if step[0] == "canary" and live[model].champion != version:
                changed = {"challenger": version, "challenger_share": 0.5}
            live[model] = replace(live[model], **changed)
            await harness.publish(*live.values(), keys=KEYS)

    run(story)


@given(st.lists(st.tuples(*[st.text(max_size=4)] * 5), min_size=2, max_size=2, unique=True))
def test_different_names_never_begin_alike(names: list[tuple[str, str, str, str, str]]) -> None:
    """Neither prefix begins the other, so no row's hash can complete one to the other's key."""
    one, two = (cache_prefix(*given, ["x"]) for given in names)
    assert not one.startswith(two)
    assert not two.startswith(one)


def test_the_order_of_the_features_is_part_of_the_key() -> None:
    """The same version after its model's file was applied with the features in another order."""

    async def story(harness: Harness) -> None:
        a, b = (replace(CONTRACT.features[0], name=name) for name in ("a", "b"))
        keyed = {"cache_ttl_s": 60.0}
        await harness.publish(route(contract=Contract((a, b), CONTRACT.task), **keyed))
        first = await harness.predict({"a": 1.0, "b": 2.0})
        await harness.publish(route(contract=Contract((b, a), CONTRACT.task), **keyed))
        second = await harness.predict({"a": 2.0, "b": 1.0})
        assert (first.rows[0]["value"], second.rows[0]["flags"]) == (1.001, [])

    run(story)


def test_a_version_with_other_files_has_no_part_in_the_old_ones_answers() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(cache_ttl_s=60.0))
        await harness.predict(1.0)
        other = (entry(MODEL, "1", manifest="0" * 64),)
        await harness.publish(replace(route(cache_ttl_s=60.0), versions=other))
        assert (await harness.predict(1.0)).rows[0]["flags"] == []

    run(story)


@pytest.mark.parametrize("ttl_s", [0.0, 60.0])
def test_models_that_say_so_are_not_cached(ttl_s: float) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(cache_ttl_s=ttl_s))
        seen = [await harness.predict(1.0, units=["u"]) for _ in range(3)]
        seen.append(await harness.predict(1.0, 1.0))
        hit = ["cached"] if ttl_s else []
        assert [a.rows[0]["flags"] for a in seen] == [[], hit, hit, hit]
        assert len(harness.predictor().batches) == (1 if ttl_s else 4)
        assert len(harness.services.cache) == (1 if ttl_s else 0)

    run(story)


@pytest.mark.parametrize("wanted", [True, False])
def test_a_version_that_takes_hardly_longer_than_a_look_is_cached_only_if_the_file_wants_it(
    wanted: bool,
) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(cache_ttl_s=60.0, cache_all=wanted))
        queue = harness.queues[0]
        for row_s, looked in ((1e-6, wanted), (1.0, True)):
            queue.row_s = row_s
            before = len(harness.services.cache)
            await harness.predict(row_s)
            await harness.predict(row_s, row_s)
            assert len(harness.services.cache) - before == int(looked)

    run(story)


def test_an_answer_lives_no_longer_than_its_time() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(cache_ttl_s=1_000.0, deadline_s=1e9))
        flags: list[list[str]] = []
        for at in (0.0, 900.0, 1_001.0, 1_900.0):  # a hit does not prolong a life
            harness.ticks.ahead_s = at
            flags.append((await harness.predict(1.0)).rows[0]["flags"])
        assert flags == [[], ["cached"], [], ["cached"]]

    run(story)


def test_failures_and_fallbacks_are_not_kept() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(versions=("1", "2"), chain=("2",), cache_ttl_s=60.0))
        harness.predictor("1").fails = lambda _row: True
        for rows in ((1.0,), (1.0, 2.0)):
            answer = await harness.predict(*rows)
            assert {row["version"] for row in answer.rows} == {"2"}
        assert len(harness.services.cache) == 0
        harness.predictor("1").fails = lambda _row: False
        again = await harness.predict(1.0)
        assert (again.rows[0]["version"], again.rows[0]["flags"]) == ("1", [])

    run(story)


def test_some_rows_of_a_request_are_cached_and_the_rest_executed_together() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(cache_ttl_s=60.0))
        await harness.predict(1.0, 3.0)
        answer = await harness.predict(0.0, 1.0, 2.0, 3.0)
        assert [row["value"] for row in answer.rows] == [1.0, 1.001, 1.002, 1.003]
        assert [row["flags"] for row in answer.rows] == [[], ["cached"], [], ["cached"]]
        assert harness.predictor().batches == [[1.0, 3.0], [0.0, 2.0]]
        (_, series) = (await _posted(harness)).popitem()
        counted = {k: v for k, (v,) in series}
        assert counted == {(MODEL, "hit"): 2.0, (MODEL, "miss"): 4.0}

    run(story)


async def _posted(harness: Harness) -> dict[str, Any]:
    await harness.post_metrics()
    return {
        s.name: s.values for s in harness.board.held["gateway-0"] if s.name == "cache_rows_total"
    }


class FakeShared:
    """A shared cache; ``down`` says nothing, as its port demands."""

    def __init__(self) -> None:
        self.held: dict[bytes, tuple[Any, float]] = {}
        self.down = False

    async def get_many(self, keys: Any) -> list[tuple[Any, ...] | None]:
        return [None if self.down else self.held.get(k, (None, 0.0))[0] for k in keys]

    def put_many(self, values: Any, ttl_s: float) -> None:
        if not self.down:
            self.held.update({k: (v, ttl_s) for k, v in values.items()})


def test_the_shared_cache_answers_what_another_worker_computed() -> None:
    shared = FakeShared()

    async def first(harness: Harness) -> None:
        await harness.publish(route(cache_ttl_s=60.0))
        await harness.predict(1.0)
        assert [ttl for _, ttl in shared.held.values()] == [60.0]

    async def second(harness: Harness) -> None:
        await harness.publish(route(cache_ttl_s=60.0))
        same, other = await harness.predict(1.0), await harness.predict(1.0, auth="Bearer wv_bolt")
        assert (same.rows[0]["flags"], other.rows[0]["flags"]) == (["cached"], [])
        both = await harness.predict(1.0, 2.0)
        assert [row["flags"] for row in both.rows] == [["cached"], []]
        assert harness.predictor().batches == [[1.0], [2.0]]
        shared.down = True
        assert (await harness.predict(7.0)).rows[0]["flags"] == []

    run(first, shared=shared)
    run(second, shared=shared)


@given(st.data())
def test_the_cache_is_least_recently_used_first_within_its_bytes(data: st.DataObject) -> None:
    size = len(cache_key(cache_prefix("t", "m", "1", "f" * 64, "c", ["x"]), (0.0,)))
    probe = AnswerCache(10_000)
    probe.put(b"\x00" * size, (1.0,), 1.0)
    each = probe.bytes
    room = data.draw(st.integers(0, 5))
    cache = AnswerCache(room * each + each // 2)
    model: dict[bytes, tuple[tuple[float], float]] = {}
    now = 0.0
    for _ in range(data.draw(st.integers(0, 60))):
        now += data.draw(st.sampled_from([0.0, 1.0, 3.0]))
        name = bytes([data.draw(st.integers(0, 7))]) * size
        if data.draw(st.booleans()):
            value = (data.draw(st.floats(allow_nan=False, allow_infinity=False)),)
            until = now + data.draw(st.sampled_from([0.5, 2.0, 9.0]))
            cache.put(name, value, until)
            if room:
                model.pop(name, None)
                model[name] = (value, until)
                while len(model) > room:
                    del model[next(iter(model))]
        else:
            held = model.pop(name, None)
            wanted = None
            if held is not None and held[1] > now:
                model[name] = held
                wanted = held[0]
            assert cache.get(name, now) == wanted
        assert len(cache) == len(model)
        assert cache.bytes == len(model) * each <= cache._max


def test_both_tenants_see_the_same_body_for_their_own_first_and_second_time() -> None:
    """The flag `cached` tells a tenant nothing about the other."""

    async def story(harness: Harness) -> None:
        await harness.publish(route(cache_ttl_s=60.0), keys=(ACME, BOLT))
        seen: dict[str, list[Any]] = {"acme": [], "bolt": []}
        for who, bodies in seen.items():
            for _ in range(2):
                answer = await harness.call(
                    "POST", "/v1/models/late/predict", body(1.0), auth=f"Bearer wv_{who}",
                    headers={"x-request-id": "r"},
                )  # fmt: skip
                bodies.append((answer.headers, {**answer.json, "request_id": ""}))
        assert seen["acme"] == seen["bolt"]

    run(story)


def test_another_task_or_bound_in_the_models_file_does_not_meet_old_answers() -> None:
    """The same version and row, but what its outputs mean has changed."""

    async def story(harness: Harness) -> None:
        await harness.publish(route(cache_ttl_s=60.0))
        await harness.predict(1.0)
        bounded = Contract(CONTRACT.features, TaskSpec("regression", high=1.0005))
        await harness.publish(route(cache_ttl_s=60.0, contract=bounded, constant=(0.5,)))
        answer = await harness.predict(1.0)
        assert answer.rows[0]["flags"] == ["failed", "RUN-103", "constant"]

    run(story)


def test_rows_that_python_takes_for_equal_are_not_mixed_up() -> None:
    """1, 1.0 and true are equal in Python; so are 0.0 and -0.0."""
    prefix = cache_prefix("t", "m", "1", "f" * 64, "c", ["x"])
    rows = [(1,), (1.0,), (True,), (0.0,), (-0.0,), ("1",), (b"1",), (None,), ([1.0],), ([1],)]
    assert len({cache_key(prefix, row) for row in rows}) == len(rows)


OUTPUTS = st.recursive(
    st.floats(allow_nan=False, allow_infinity=False),
    lambda s: st.lists(s, max_size=4),
    max_leaves=8,
)


@given(st.lists(OUTPUTS, max_size=4))
def test_outputs_come_back_from_a_shared_cache_as_they_were(outputs: list[Any]) -> None:
    assert unpack_outputs(pack_outputs(tuple(outputs))) == tuple(outputs)


@given(st.binary(max_size=30))
def test_what_cannot_be_read_from_a_shared_cache_is_nothing(noise: bytes) -> None:
    found = unpack_outputs(noise)
    assert found is None or isinstance(found, tuple)


def test_large_outputs_count_by_their_size() -> None:
    cache = AnswerCache(100_000)
    for i in range(1_000):
        cache.put(i.to_bytes(8, "big"), ([0.5] * 384,), 1.0)
    assert 5 <= len(cache) <= 100_000 // (384 * 8)
    before = cache.bytes
    cache.put(b"huge", ([[0.5] * 384] * 100,), 1.0)
    assert (cache.get(b"huge", 0.0), cache.bytes) == (None, before)


def test_a_shared_answer_of_another_shape_is_not_taken() -> None:
    shared = FakeShared()

    async def story(harness: Harness) -> None:
        await harness.publish(route(cache_ttl_s=60.0))
        await harness.predict(1.0)
        (name,) = shared.held
        harness.services.cache.__init__(1 << 20)  # type: ignore[misc]
        for odd in ((1.0, 2.0), ()):
            shared.held[name] = (odd, 60.0)
            answer = await harness.predict(1.0)
            assert (answer.rows[0]["value"], answer.rows[0]["flags"]) == (1.001, [])
            harness.services.cache.__init__(1 << 20)  # type: ignore[misc]

    run(story, shared=shared)
