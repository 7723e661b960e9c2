"""Who is asking: keys and tokens, what they may do, and what they are bound by."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from windvane.apps.gateway.answers import Header, pick_version
from windvane.apps.gateway.cache import cache_prefix
from windvane.apps.gateway.live import LiveModel, LiveTable
from windvane.apps.gateway.refusals import Forbidden, NoKey, NoSuchModel, NotReady
from windvane.core.admission import Limit
from windvane.core.errors import did_you_mean
from windvane.core.routing import CLIENT_SCOPES, KeyEntry, Scope, choose, limits_of
from windvane.ports.identity import BadToken, TokenVerifier

_BEARER = b"bearer "
_KEY = b"wv_"
_MAX_TOKENS = 4_096


@dataclass(frozen=True, slots=True)
class Standing:
    """A refusal that holds for every request of a way before ``until`` (``time.monotonic``);
    ``template`` and ``headers`` are as they are answered, but for the request's id."""

    until: float
    labels: tuple[str, str, str]
    status: int
    template: bytes
    headers: Sequence[Header]


class Way:
    """One caller's way to one model: the tenant is bound here, not passed along.

    ``limits`` are those it is admitted under; ``cached`` begins its keys in the cache, by
    version. While no challenger is measured every unit has the same ``pick``. ``standing`` is
    the refusal that all of its requests get for some time, if there is one. What is counted
    for each request is counted here, in plain integers, and collected by the second from those
    that were ``used``.
    """

    __slots__ = (
        "cached", "hits", "limits", "misses", "model", "ok", "pick", "plain", "shared_hits",
        "slot", "standing", "tenant", "used",
    )  # fmt: skip

    def __init__(self, tenant: str, model: LiveModel, limits: tuple[Limit, ...]) -> None:
        route = model.route
        self.tenant = tenant
        self.model = model
        self.limits = limits
        version, arm = choose(replace(route, challenger=None), "")
        self.pick = (version, arm.value)
        self.slot = model.slots[version]
        self.standing: Standing | None = None
        names = [spec.name for spec in route.schema]
        self.cached: Mapping[str, bytes] = {
            entry.version: cache_prefix(tenant, route.model, entry.version, entry.manifest, names)
            for entry in route.versions
        }
        self.start_again()

    def start_again(self) -> None:
        """Count from zero: what was counted has been collected."""
        self.ok = self.plain = self.hits = self.shared_hits = self.misses = 0
        self.used = False


class Caller:
    """A key or a token's subject under one routing table."""

    __slots__ = ("api", "expires_at", "key_id", "scopes", "table", "tenant", "ways")

    def __init__(self, table: LiveTable, entry: KeyEntry) -> None:
        self.table = table
        self.tenant = entry.tenant
        self.key_id = entry.id
        self.scopes = frozenset(entry.scopes)
        self.expires_at = float("inf") if entry.expires_at is None else entry.expires_at
        self.api = pick_version(b"", entry.api_version)
        self.ways: dict[str, Way] = {}

    def way(self, name: str) -> Way:
        """To the model, if this tenant may see it; raises NoSuchModel."""
        way = self.ways.get(name)
        if way is not None:
            return way
        model = self.table.models.get(name)
        if model is None or not self.may_see(model):
            known = [n for n, m in self.table.models.items() if self.may_see(m)]
            raise NoSuchModel(
                f"no model {name[:64]!r} is deployed", hint=did_you_mean(name[:64], known)
            )
        way = self.ways[name] = Way(self.tenant, model, self._limits(name))
        return way

    def may_see(self, model: LiveModel) -> bool:
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
            for line in limits_of(self.table.limits, self.tenant, model)
        )


class Gatekeeper:
    """Turns an Authorization header into a caller."""

    def __init__(self, verifier: TokenVerifier | None) -> None:
        self._verifier = verifier
        self._table: LiveTable | None = None
        self._by_header: dict[bytes, Caller] = {}
        self._callers: dict[str, Caller] = {}
        self._holders: dict[tuple[str, str, frozenset[str]], Caller] = {}

    @property
    def table(self) -> LiveTable | None:
        """Who says who is known."""
        return self._table

    def knows(self, model: str) -> bool:
        """Whether a model of this name is deployed, whoever may see it."""
        return self._table is not None and model in self._table.models

    def follow(self, table: LiveTable) -> None:
        """From now on ``table`` says who is known."""
        self._table = table
        self._by_header, self._callers, self._holders = {}, {}, {}

    def admit(self, header: bytes, scope: str, now: float) -> Caller:
        """The caller, good for ``scope`` at ``now`` (seconds since the epoch).

        Raises NotReady, NoKey, Forbidden.
        """
        caller = self._by_header.get(header) or self._find(header, now)
        if now >= caller.expires_at:
            raise _named(NoKey("this API key has expired"), caller)
        if scope not in caller.scopes:
            sides = f"it has {', '.join(sorted(caller.scopes))}, {scope} is needed"
            raise _named(Forbidden(f"key {caller.key_id}: {sides}"), caller)
        return caller

    def _find(self, header: bytes, now: float) -> Caller:
        if self._table is None:
            raise NotReady("no routing table yet")
        given = header[7:].strip() if header[:7].lower() == _BEARER else b""
        if given[:3] == _KEY:
            caller = self._by_key(self._table, given)
            # A known key need not be hashed again; tokens are looked at each time.
            if len(self._by_header) >= _MAX_TOKENS:
                self._by_header.clear()
            self._by_header[header] = caller
            return caller
        if not given:
            raise NoKey("no API key was sent")
        if self._verifier is None:
            raise NoKey("this is no API key")
        return self._by_token(self._table, self._verifier, given, now)

    def _by_key(self, table: LiveTable, given: bytes) -> Caller:
        digest = hashlib.sha256(given).hexdigest()
        caller = self._callers.get(digest)
        if caller is None:
            entry = table.keys.get(digest)
            if entry is None:
                raise NoKey("this API key is not known")
            caller = self._callers[digest] = Caller(table, entry)
        return caller

    def _by_token(
        self, table: LiveTable, verifier: TokenVerifier, given: bytes, now: float
    ) -> Caller:
        try:
            identity = verifier.verify(given, now)
        except BadToken as error:
            raise NoKey(error.message, hint=error.advice) from error
        holder = (identity.tenant, identity.subject, identity.scopes)
        caller = self._holders.get(holder)
        if caller is None:
            if len(self._holders) >= _MAX_TOKENS:
                self._holders.clear()
            # A tenant's token that names none of our scopes may do what a plain key may;
            # admin is over all tenants, so no token of one tenant can carry it.
            scopes = tuple(sorted(identity.scopes - {Scope.ADMIN.value})) or CLIENT_SCOPES
            entry = KeyEntry("", identity.tenant, f"jwt:{identity.subject}", scopes)
            caller = self._holders[holder] = Caller(table, entry)
        return caller


def _named(error: NoKey | Forbidden, caller: Caller) -> NoKey | Forbidden:
    error.tenant, error.key_id = caller.tenant, caller.key_id
    return error
