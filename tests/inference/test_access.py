"""Who is let in, what they may see, and what a refusal tells them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from inference.harness import (
    ACME,
    ALL_SCOPES,
    BOLT,
    MODEL,
    FakeVerifier,
    Harness,
    body,
    features,
    key,
    route,
    run,
    until,
)

from windvane.apps.gateway.answers import NEWEST, ApiVersion
from windvane.core.routing import TenantLimit
from windvane.ports.identity import Identity

OUTCOMES = json.dumps({"model": MODEL, "outcomes": [{"request_id": "r", "value": 1}]}).encode()


@pytest.mark.parametrize(
    "auth",
    ["", "Bearer", "Bearer ", "Bearer wv_", "Bearer wv_nobody", "Basic wv_acme", "wv_acme",
     "Bearer  ", "bearer\twv_acme", "Bearer wv_acme\x00", "Bearer wv_acme wv_bolt",
     "Bearer WV_ACME", "Bearer wv_acme,", "Bearer token", "Bearer é"],
)  # fmt: skip
def test_whoever_sends_no_good_key_is_a_stranger(auth: str) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        for method, path, given in (
            ("POST", f"/v1/models/{MODEL}/predict", body(1.0)),
            ("POST", "/v1/models/no-such/predict", body(1.0)),
            ("POST", "/v1/outcomes", OUTCOMES),
            ("GET", "/v1/models", b""),
        ):
            answer = await harness.call(method, path, given, auth=auth)
            assert (answer.status, answer.code) == (401, "GAT-101")
            assert answer.headers["www-authenticate"] == "Bearer"
        assert harness.spool.events == [], "strangers must not become events"

    run(story)


@pytest.mark.parametrize("auth", ["Bearer wv_acme", "bearer wv_acme", "BEARER   wv_acme "])
def test_a_good_key_is_let_in_however_it_is_written(auth: str) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        for _ in range(2):
            assert (await harness.predict(auth=auth)).status == 200

    run(story)


def test_an_expired_key_ends_at_its_moment_and_the_audit_hears_of_it() -> None:
    async def story(harness: Harness) -> None:
        ends = harness.clock.at + 10.0
        await harness.publish(keys=[key("brief", "acme", expires_at=ends)])
        assert (await harness.predict(auth="Bearer wv_brief")).status == 200
        harness.clock.at = ends - 0.001
        assert (await harness.predict(auth="Bearer wv_brief")).status == 200
        harness.clock.at = ends
        answer = await harness.predict(auth="Bearer wv_brief")
        assert (answer.status, answer.code) == (401, "GAT-101")
        denied = harness.spool.events[-1]
        assert (denied.tenant, denied.key, denied.code) == ("acme", "brief", "GAT-101")

    run(story)


@pytest.mark.parametrize("scope", ALL_SCOPES)
def test_a_key_is_good_for_its_scopes_and_nothing_else(scope: str) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(keys=[key("one", "acme", scope)])
        needed = {
            "predict": ("POST", f"/v1/models/{MODEL}/predict", body(1.0)),
            "outcomes": ("POST", "/v1/outcomes", OUTCOMES),
            "read": ("GET", "/v1/models", b""),
        }
        for wanted, (method, path, given) in needed.items():
            answer = await harness.call(method, path, given, auth="Bearer wv_one")
            if wanted == scope:
                assert answer.status in (200, 202)
            else:
                assert (answer.status, answer.code) == (403, "GAT-111")
        lacked = [e.key for e in harness.spool.events if getattr(e, "code", "") == "GAT-111"]
        assert lacked == ["one"], "once a second for each key and reason"

    run(story)


def test_a_revoked_key_does_not_survive_the_table_that_lacks_it() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(keys=[ACME, BOLT])
        for _ in range(3):
            assert (await harness.predict()).status == 200
        await harness.publish(keys=[BOLT])
        assert (await harness.predict()).status == 401
        assert (await harness.predict(auth="Bearer wv_bolt")).status == 200

    run(story)


def test_a_key_that_changed_hands_or_scopes_is_seen_anew() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(tenants=("acme",)), keys=[ACME])
        assert (await harness.predict()).status == 200
        await harness.publish(route(tenants=("acme",)), keys=[key("acme", "acme", "read")])
        assert (await harness.predict()).status == 403
        await harness.publish(route(tenants=("acme",)), keys=[key("acme", "bolt")])
        assert (await harness.predict()).status == 404

    run(story)


def test_keys_and_limits_hold_while_a_version_is_still_loading() -> None:
    """A deployment of minutes must not keep a revoked key alive."""

    async def story(harness: Harness) -> None:
        await harness.publish(keys=[ACME, BOLT])
        harness.runtime.gate.clear()
        two = route(versions=("1", "2"), champion="2")
        harness.feed.publish(harness.table(two, keys=[ACME, BOLT]))
        harness.runtime.loading.clear()
        await harness.worker.follow_feed()
        await until(harness.runtime.loading.is_set)
        assert (await harness.predict()).rows[0]["version"] == "1"
        harness.feed.publish(harness.table(two, keys=[BOLT], limits=[TenantLimit("bolt", rate=1)]))
        await harness.worker.follow_feed()
        assert harness.tenants == {"bolt"}
        assert (await harness.predict()).status == 401
        assert [(await harness.predict(auth="Bearer wv_bolt")).status for _ in range(2)] == [
            200,
            429,
        ]
        harness.runtime.gate.set()
        harness.feed.publish(harness.table(two, keys=[BOLT]))
        await harness.follow_feed()
        assert (await harness.predict(auth="Bearer wv_bolt")).rows[0]["version"] == "2"
        assert harness.runtime.loads.count("late/2") == 1

    run(story)


def test_a_table_that_cannot_be_read_is_tried_again() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(keys=[ACME, BOLT])
        harness.feed.publish(harness.table(keys=[BOLT]))
        harness.feed.broken = OSError("the disk is away")
        await harness.follow_feed()
        assert (await harness.predict()).status == 200
        harness.feed.broken = None
        await harness.follow_feed()
        assert (await harness.predict()).status == 200, "not at once"
        harness.ticks.ahead_s += 1.0
        await harness.follow_feed()
        assert (await harness.predict()).status == 401

    run(story)


def test_an_older_table_is_not_gone_back_to() -> None:
    async def story(harness: Harness) -> None:
        old = harness.table(keys=[ACME, BOLT])
        await harness.publish(keys=[BOLT])
        harness.feed.publish(old)
        await harness.follow_feed()
        assert (await harness.predict()).status == 401

    run(story)


def person(tenant: str = "acme", *scopes: str, until_s: float = 2e9) -> Identity:
    return Identity(tenant, f"user-of-{tenant}", frozenset(scopes), until_s)


def test_a_token_is_let_in_with_its_scopes_but_never_as_an_admin() -> None:
    known = FakeVerifier(
        plain=person(), reader=person("acme", "read"), admin=person("acme", "admin"),
        all=person("acme", *ALL_SCOPES), old=person(until_s=1.0),
    )  # fmt: skip

    async def story(harness: Harness) -> None:
        await harness.publish()
        statuses = {
            word: (
                (await harness.predict(auth=f"Bearer {word}")).status,
                (await harness.call("GET", "/v1/models", auth=f"Bearer {word}")).status,
            )
            for word in ("plain", "reader", "admin", "all", "old", "forged")
        }
        assert statuses == {
            "plain": (200, 403), "reader": (403, 200), "admin": (200, 403), "all": (200, 200),
            "old": (401, 401), "forged": (401, 401),
        }  # fmt: skip
        held = {
            scope for c in harness.services.authenticator._by_subject.values() for scope in c.scopes
        }
        assert "admin" not in held
        predicted = [e for e in harness.spool.events if hasattr(e, "rows")]
        assert {e.key for e in predicted} == {"jwt:user-of-acme"}

    run(story, verifier=known)


def test_a_token_that_ends_or_changes_is_looked_at_each_time() -> None:
    verifier = FakeVerifier(t=person("acme", until_s=1_700_000_010.0))

    async def story(harness: Harness) -> None:
        await harness.publish(route(tenants=("acme",)))
        assert (await harness.predict(auth="Bearer t")).status == 200
        harness.clock.at += 11.0
        assert (await harness.predict(auth="Bearer t")).status == 401
        verifier.known["t"] = person("bolt")
        assert (await harness.predict(auth="Bearer t")).status == 404

    run(story, verifier=verifier)


def test_two_tenants_whose_subjects_share_a_name_share_nothing() -> None:
    same = {t: Identity(t, "robot", frozenset(), 2e9) for t in ("acme", "bolt")}

    async def story(harness: Harness) -> None:
        await harness.publish(route(cache_ttl_s=60.0), limits=[TenantLimit("*", rate=1)])
        for who in same:
            first, second = [await harness.predict(auth=f"Bearer {who}") for _ in range(2)]
            assert (first.status, second.status) == (200, 429)
            assert first.rows[0]["flags"] == []

    run(story, verifier=FakeVerifier(**same))


def test_without_a_verifier_a_token_is_no_key() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        answer = await harness.predict(auth="Bearer eyJhbGciOiJub25lIn0.e30.")
        assert (answer.status, answer.code) == (401, "GAT-101")

    run(story)


def test_before_the_first_table_nobody_is_anybody() -> None:
    async def story(harness: Harness) -> None:
        for answer in (await harness.predict(), await harness.call("GET", "/readyz")):
            assert (answer.status, answer.code) == (503, "GAT-106")
        await harness.publish()
        ready = await harness.call("GET", "/readyz", auth="")
        assert (ready.status, ready.json["models"]) == (200, 1)

    run(story)


def test_a_model_of_others_looks_exactly_like_one_that_does_not_exist() -> None:
    """Same status, headers and body, but for the name that was asked for."""

    async def story(harness: Harness) -> None:
        await harness.publish(
            route("secret", tenants=("bolt",)), route("late"), route("later", tenants=("acme",))
        )

        async def ask(name: str, who: str) -> list[Any]:
            given = body(1.0)
            told = json.dumps({"model": name, "outcomes": []}).encode()
            auth = f"Bearer wv_{who}"
            request = {"x-request-id": "same"}
            answers = [
                await harness.call(
                    "POST", f"/v1/models/{name}/predict", given, auth=auth, headers=request
                ),
                await harness.call("POST", "/v1/outcomes", told, auth=auth, headers=request),
            ]
            for answer in answers:
                assert (answer.status, answer.code) == (404, "GAT-102")
            told_alike = [{**a.json, "request_id": ""} for a in answers]
            return [
                (a.status, a.headers, json.dumps(told).replace(name, "?"))
                for a, told in zip(answers, told_alike, strict=True)
            ]

        assert await ask("secret", "acme") == await ask("sacred", "acme")
        hint = (await harness.predict(model="secre")).json["error"]["hint"]
        assert "secret" not in hint
        assert "late" in hint
        mine = await harness.predict(model="secret", auth="Bearer wv_bolt")
        assert mine.status == 200
        seen = await harness.call("GET", "/v1/models")
        assert [m["model"] for m in seen.json["models"]] == ["late", "later"]
        assert "bolt" not in json.dumps(seen.json)
        assert b"later" not in (await harness.predict(model="lates", auth="Bearer wv_bolt")).body

    run(story)


def test_a_model_that_is_taken_away_is_gone_with_its_cached_answers() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(cache_ttl_s=60.0))
        assert (await harness.predict()).status == 200
        await harness.publish(route(cache_ttl_s=60.0, tenants=("bolt",)))
        assert (await harness.predict()).status == 404

    run(story)


@pytest.mark.parametrize("path", ["/v1/models//predict", "/v1/models/predict"])
def test_no_name_is_no_model(path: str) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        answer = await harness.call("POST", path, body(1.0))
        assert answer.status == 404

    run(story)


@pytest.mark.parametrize(
    "name", ["late/extra", "LATE", "late ", "..", "é", "%00", "\x00", "x" * 5_000, "late\n", "'"]
)
def test_odd_names_are_no_models(name: str) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        answer = await harness.predict(model=name)
        assert answer.status == 404
        assert len(answer.body) < 1_000

    run(story)


def test_a_request_is_served_as_of_the_version_that_it_or_its_key_names() -> None:
    async def story(harness: Harness) -> None:
        first = ApiVersion.FIRST.value
        await harness.publish(
            keys=[ACME, key("pinned", "acme", api_version=first),
                  key("odd", "acme", api_version="1999-01-01")]
        )  # fmt: skip
        plain = await harness.predict()
        assert plain.rows[0]["outputs"] == {"value": plain.rows[0]["value"]}
        assert "windvane-version" not in plain.headers
        fields = {"value", "version", "arm", "flags"}
        assert set((await harness.predict(auth="Bearer wv_pinned")).rows[0]) == fields
        for version, more in (
            (ApiVersion.FIRST, set()), (ApiVersion.WITH_WHY, {"why"}), (NEWEST, {"why", "outputs"})
        ):  # fmt: skip
            newer = await harness.predict(
                auth="Bearer wv_pinned", headers={"windvane-version": version.value}
            )
            assert set(newer.rows[0]) == fields | more
            assert newer.headers["windvane-version"] == version.value
        assert "outputs" in (await harness.predict(auth="Bearer wv_odd")).rows[0]

    run(story)


@pytest.mark.parametrize("asked", ["2026-11-20", "2026", "v1", "latest", "é", " ", "x" * 9_000, ""])
def test_an_unknown_version_is_refused_with_those_that_there_are(asked: str) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        for method, path, given in (
            ("POST", f"/v1/models/{MODEL}/predict", body(1.0)),
            ("POST", "/v1/outcomes", OUTCOMES),
            ("GET", "/v1/models", b""),
        ):
            answer = await harness.call(method, path, given, headers={"windvane-version": asked})
            if not asked:
                assert answer.status in (200, 202)
                continue
            assert (answer.status, answer.code) == (400, "GAT-113")
            message = answer.json["error"]
            assert all(version.value in message["message"] for version in ApiVersion)
            if asked == "2026-11-20":
                assert message["hint"].startswith("did you mean '2026-11-2")
            assert len(answer.body) < 1_000

    run(story)


@pytest.mark.parametrize("given", ["mine", "a" * 128, "", "a" * 129, "é", "a\tb"])
def test_a_client_may_name_its_request_and_windvane_names_the_event(given: str) -> None:
    """Two answers are two events, whatever the client calls them."""

    async def story(harness: Harness) -> None:
        await harness.publish()
        answers = [await harness.predict(headers={"x-request-id": given}) for _ in range(2)]
        answers.append(await harness.predict(features(x=-1.0), headers={"x-request-id": given}))
        answers.append(await harness.call("GET", "/v1/models", headers={"x-request-id": given}))
        answers.append(await harness.call("GET", "/no", headers={"x-request-id": given}))
        own = 0 < len(given) <= 128 and given.isascii() and given.isprintable()
        assert {a.headers.get("x-request-id") for a in answers} == {given if own else None}
        ids = [a.json["request_id"] for a in answers[:3]]
        assert len(set(ids)) == 3
        assert given not in ids
        assert [e.event_id for e in harness.spool.events] == ids
        assert {e.request_id for e in harness.spool.events} == {given if own else ""}

    run(story)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", f"/v1/models/{MODEL}/predict", "POST"), ("PUT", "/v1/outcomes", "POST"),
     ("POST", "/v1/models", "GET"), ("DELETE", "/healthz", "GET"), ("PUT", "/readyz", "GET"),
     ("PATCH", "/openapi.json", "GET")],
)  # fmt: skip
def test_another_method_says_which_one(method: str, path: str, allowed: str) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        answer = await harness.call(method, path)
        assert (answer.status, answer.code, answer.headers["allow"]) == (405, "GAT-115", allowed)

    run(story)
