"""Who is asking: keys and tokens, what they may do, and what they are bound by."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote

from windvane.core.admission import Limit
from windvane.core.errors import did_you_mean
from windvane.core.routing import (
    CLIENT_SCOPES,
    KeyEntry,
    ModelRoute,
    Scope,
    choose,
    is_tenant_name,
    limits_of,
)
from windvane.inference.cache import cache_prefix
from windvane.inference.errors import (
    Forbidden,
    NoKey,
    NoSuchModel,
    NotReady,
    Rejection,
    TurnedOff,
)
from windvane.inference.request import Route
from windvane.inference.snapshot import ServedModel, Snapshot
from windvane.ports.identity import BadToken, TokenVerifier

_BEARER = b"bearer "
_KEY = b"wv_"
_MAX_TOKENS = 4_096
_MAX_CREDENTIAL = 16_384


@dataclass(slots=True)
class CachedRejection:
    """A rejection that holds for every request of an access before ``until`` (of the engine's
    monotonic clock): for a limit, or because the model is turned off."""

    until: float
    error: Rejection


def turned_off(route: ModelRoute) -> TurnedOff:
    """The error of whatever is asked of a model that is turned off."""
    return TurnedOff(f"{route.model} is turned off")


class ModelAccess:
    """One principal's access to one model: the tenant is bound here, not passed along.

    ``limits`` are those it is admitted under; ``cached`` begins its keys in the cache, by
    version. ``decided`` is the model's route as it is for this tenant; while no challenger is
    measured every unit has the same ``route``. ``rejection`` is what all of its requests get for
    some time, if there is one. What is counted for each request is counted here, in plain
    integers, and collected by the second from those that were ``used``.
    """

    __slots__ = (
        "cached", "decided", "hits", "limits", "misses", "model", "ok", "plain", "queue_of",
        "rejection", "route", "shared_hits", "stand_in", "tenant", "used",
    )  # fmt: skip

    def __init__(self, tenant: str, model: ServedModel, limits: tuple[Limit, ...]) -> None:
        route = model.route.for_tenant(tenant)
        self.tenant = tenant
        self.decided = route
        self.model = model
        self.limits = limits
        version, arm = choose(replace(route, challenger=None), "")
        flags = ("stand_in",) if route.standing_in else ()
        self.route = Route(version, version, arm.value, flags)
        self.queue_of = model.handles[version]
        self.rejection: CachedRejection | None = None
        if route.off:
            off = turned_off(route)
            off.tenant, off.model = tenant, route.model
            self.rejection = CachedRejection(float("inf"), off)
        names = model.contract.names
        self.cached: Mapping[str, bytes] = {
            entry.version: cache_prefix(
                tenant, route.model, entry.version, entry.manifest, model.contract.id, names
            )
            for entry in route.versions
        }
        self.start_again()

    def start_again(self) -> None:
        """Count from zero: what was counted has been collected."""
        self.ok = self.plain = self.hits = self.shared_hits = self.misses = 0
        self.used = False


class Principal:
    """A key or a token's subject under one snapshot."""

    __slots__ = ("accesses", "api", "expires_at", "key_id", "scopes", "snapshot", "tenant")

    def __init__(self, snapshot: Snapshot, entry: KeyEntry) -> None:
        self.snapshot = snapshot
        self.tenant = entry.tenant
        self.key_id = entry.id
        self.scopes = frozenset(entry.scopes)
        self.expires_at = float("inf") if entry.expires_at is None else entry.expires_at
        self.api = entry.api_version
        self.accesses: dict[str, ModelAccess] = {}

    def access(self, name: str) -> ModelAccess:
        """To the model, if this tenant may see it; raises NoSuchModel."""
        access = self.accesses.get(name)
        if access is not None:
            return access
        model = self.snapshot.models.get(name)
        if model is None or not self.may_see(model):
            known = [n for n, m in self.snapshot.models.items() if self.may_see(m)]
            raise NoSuchModel(
                f"no model {name[:64]!r} is deployed", hint=did_you_mean(name[:64], known)
            )
        access = self.accesses[name] = ModelAccess(self.tenant, model, self._limits(name))
        return access

    def may_see(self, model: ServedModel) -> bool:
        return not model.route.tenants or self.tenant in model.route.tenants

    def _limits(self, model: str) -> tuple[Limit, ...]:
        """Named `tenant` or `tenant/model`, quoted, so that no two tenants share a window."""
        own = quote(self.tenant, safe="")
        return tuple(
            Limit(
                f"{own}/{line.model}" if line.model else own,
                line.rate,
                line.per_s,
                line.concurrent,
            )
            for line in limits_of(self.snapshot.limits, self.tenant, model)
        )


class Authenticator:
    """Turns a credential (`Bearer ...`) into a principal."""

    def __init__(self, verifier: TokenVerifier | None) -> None:
        self._verifier = verifier
        self._snapshot: Snapshot | None = None
        self.not_ready_hint: str | None = None  # what to do about there being no table, if known
        self._by_credential: dict[bytes, Principal] = {}
        self._by_digest: dict[str, Principal] = {}
        self._by_subject: dict[tuple[str, str, frozenset[str]], Principal] = {}

    @property
    def snapshot(self) -> Snapshot | None:
        """Who says who is known."""
        return self._snapshot

    def knows(self, model: str) -> bool:
        """Whether a model of this name is deployed, whoever may see it."""
        return self._snapshot is not None and model in self._snapshot.models

    def follow(self, snapshot: Snapshot) -> None:
        """From now on ``snapshot`` says who is known."""
        self._snapshot = snapshot
        self._by_credential, self._by_digest, self._by_subject = {}, {}, {}

    def authenticate(self, credential: bytes, scope: str, now: float) -> Principal:
        """The principal, good for ``scope`` at ``now`` (seconds since the epoch).

        Raises NotReady, NoKey, Forbidden.
        """
        principal = self._by_credential.get(credential) or self._find(credential, now)
        if now >= principal.expires_at:
            raise _named(NoKey("this API key has expired"), principal)
        if scope not in principal.scopes:
            sides = f"it has {', '.join(sorted(principal.scopes))}, {scope} is needed"
            raise _named(Forbidden(f"key {principal.key_id}: {sides}"), principal)
        return principal

    def _find(self, credential: bytes, now: float) -> Principal:
        if self._snapshot is None:
            raise NotReady("no routing table yet", hint=self.not_ready_hint)
        if len(credential) > _MAX_CREDENTIAL:
            raise NoKey(f"a credential of {len(credential):,} bytes, {_MAX_CREDENTIAL:,} may be")
        given = credential[7:].strip() if credential[:7].lower() == _BEARER else b""
        if given[:3] == _KEY:
            principal = self._by_key(self._snapshot, given)
            # A known key need not be hashed again; tokens are looked at each time.
            if len(self._by_credential) >= _MAX_TOKENS:
                self._by_credential.clear()
            self._by_credential[credential] = principal
            return principal
        if not given:
            raise NoKey("no API key was sent")
        if self._verifier is None:
            raise NoKey("this is no API key")
        return self._by_token(self._snapshot, self._verifier, given, now)

    def _by_key(self, snapshot: Snapshot, given: bytes) -> Principal:
        digest = hashlib.sha256(given).hexdigest()
        principal = self._by_digest.get(digest)
        if principal is None:
            entry = snapshot.keys.get(digest)
            if entry is None:
                raise NoKey("this API key is not known")
            principal = self._by_digest[digest] = Principal(snapshot, entry)
        return principal

    def _by_token(
        self, snapshot: Snapshot, verifier: TokenVerifier, given: bytes, now: float
    ) -> Principal:
        try:
            identity = verifier.verify(given, now)
        except BadToken as error:
            raise NoKey(error.message, hint=error.advice) from error
        if not is_tenant_name(identity.tenant):
            # "*" stands for everyone in limits; a name that is also a pattern is nobody's.
            raise NoKey(f"the token names the tenant {identity.tenant[:64]!r}, which cannot be one")
        subject = (identity.tenant, identity.subject, identity.scopes)
        principal = self._by_subject.get(subject)
        if principal is None:
            if len(self._by_subject) >= _MAX_TOKENS:
                self._by_subject.clear()
            # A tenant's token that names none of our scopes may do what a plain key may;
            # admin is over all tenants, so no token of one tenant can carry it.
            scopes = tuple(sorted(identity.scopes - {Scope.ADMIN.value})) or CLIENT_SCOPES
            entry = KeyEntry("", identity.tenant, f"jwt:{identity.subject}", scopes)
            principal = self._by_subject[subject] = Principal(snapshot, entry)
        return principal


def _named(error: NoKey | Forbidden, principal: Principal) -> NoKey | Forbidden:
    error.tenant, error.key_id = principal.tenant, principal.key_id
    return error
