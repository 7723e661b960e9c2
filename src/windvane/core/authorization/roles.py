"""Roles, what each may do, and on which models."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from windvane.core.errors import WindvaneError, did_you_mean

_MOST_GRANTS = 64
_LONGEST = 128


class BadGrant(WindvaneError):
    """A role that does not exist, or a scope of one that cannot be read."""

    code: ClassVar[str] = "AUT-101"
    hint = "for example `viewer`, `operator@team:ops` or `approver@model:flight-delay`"


class Role(enum.StrEnum):
    """What somebody is trusted with. Each may do all that the ones before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"


class Action(enum.StrEnum):
    """What can be asked of the console and the control API.

    ``VIEW`` is everything that is counted, decided and told; ``SEE_VALUES`` the raw values of
    single requests. ``DEPLOY`` is to put a version live and to take it out of service. The last
    four are about the whole installation, never about one model.
    """

    VIEW = "view"
    SEE_VALUES = "see_values"
    ACKNOWLEDGE = "acknowledge"
    SILENCE = "silence"
    CLOSE_INCIDENT = "close_incident"
    ROLL_BACK = "roll_back"
    DEPLOY = "deploy"
    TURN_OFF = "turn_off"
    TRUST_VERSION = "trust_version"
    DELETE = "delete"
    PUT_BACK = "put_back"
    READ_AUDIT = "read_audit"
    MANAGE_LIMITS = "manage_limits"
    MANAGE_KEYS = "manage_keys"
    MANAGE_USERS = "manage_users"


_VIEWER = frozenset({Action.VIEW})
_OPERATOR = _VIEWER | {
    Action.SEE_VALUES, Action.ACKNOWLEDGE, Action.SILENCE, Action.CLOSE_INCIDENT,
    Action.ROLL_BACK, Action.DEPLOY, Action.TURN_OFF, Action.PUT_BACK,
}  # fmt: skip
_APPROVER = _OPERATOR | {Action.TRUST_VERSION}
ACTIONS_OF: Mapping[Role, frozenset[Action]] = {
    Role.VIEWER: _VIEWER,
    Role.OPERATOR: _OPERATOR,
    Role.APPROVER: _APPROVER,
    Role.ADMIN: frozenset(Action),
}
_OF_THE_INSTALLATION = frozenset(
    {Action.READ_AUDIT, Action.MANAGE_LIMITS, Action.MANAGE_KEYS, Action.MANAGE_USERS}
)


@dataclass(frozen=True, slots=True)
class Grant:
    """A role on one ``model``, on all models that a ``team`` owns, or (neither) on everything."""

    role: Role
    model: str = ""
    team: str = ""

    def __str__(self) -> str:
        where = f"@model:{self.model}" if self.model else f"@team:{self.team}" if self.team else ""
        return f"{self.role}{where}"

    @property
    def on_everything(self) -> bool:
        return not self.model and not self.team

    def covers(self, subject: Subject) -> bool:
        if self.model:
            return self.model == subject.model
        return not self.team or self.team == subject.team


class PrincipalKind(enum.StrEnum):
    """How somebody proved who they are."""

    USER = "user"
    OIDC = "oidc"
    KEY = "key"


# Turning a model off is left to the roles: it may have to be done at night, by whoever is there.
_OF_WHO_DECIDES = frozenset({Action.ROLL_BACK, Action.DEPLOY})


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who was recognised. ``tenant`` is the one whose own audit a key may read, ""
    for none."""

    kind: PrincipalKind
    name: str
    grants: tuple[Grant, ...]
    tenant: str = ""

    @property
    def actor(self) -> str:
        """As decisions name it: ``user:ana``, ``oidc:8f2c``, ``key:5f0c9a1d22be``."""
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True)
class Subject:
    """The model that an action is about, the team that owns it, and who decides which version
    serves: names of users, ``team:NAME`` or actors; none leaves it to the roles."""

    model: str
    team: str
    decides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Permission:
    """Whether an action is allowed; ``why_not`` names both sides, "" where it is."""

    why_not: str = ""

    @property
    def allowed(self) -> bool:
        return not self.why_not


def authorize(principal: Principal, action: Action, subject: Subject | None) -> Permission:
    """Whether ``principal`` may do ``action`` on ``subject``.

    Without a subject the action is about the installation: one of those needs a grant on
    everything, any other any grant at all, for what is then shown is filtered model by model.
    """
    holds = [
        grant
        for grant in principal.grants
        if action in ACTIONS_OF[grant.role] and _reaches(grant, action, subject)
    ]
    if subject is not None and action in _OF_WHO_DECIDES and subject.decides:
        return _decided(principal, subject, holds)
    if holds:
        return Permission()
    held = ", ".join(map(str, principal.grants)) or "no role"
    needed = next(role for role in Role if action in ACTIONS_OF[role])
    on = f" on {subject.model}" if subject is not None else ""
    return Permission(f"{principal.actor} has {held}; {needed}{on} is needed to {_words(action)}")


def _reaches(grant: Grant, action: Action, subject: Subject | None) -> bool:
    if action in _OF_THE_INSTALLATION:
        return grant.on_everything
    return subject is None or grant.covers(subject)


def _decided(principal: Principal, subject: Subject, holds: list[Grant]) -> Permission:
    """Those that the model's file names, if they may see the model at all; and admins, who could
    change the file."""
    if any(grant.role is Role.ADMIN for grant in holds):
        return Permission()
    sees = any(grant.covers(subject) for grant in principal.grants)
    teams = {f"team:{grant.team}" for grant in holds if grant.team}
    names = {principal.actor} | teams
    if principal.kind is not PrincipalKind.KEY:
        names.add(principal.name)
    if sees and names & set(subject.decides):
        return Permission()
    named = ", ".join(subject.decides[:12])
    return Permission(
        f"{principal.actor} is not among those who decide on {subject.model}: {named}"
    )


def _words(action: Action) -> str:
    return action.value.replace("_", " ")


def parse_grant(text: str) -> Grant:
    """``ROLE``, ``ROLE@model:NAME`` or ``ROLE@team:NAME``. Raises BadGrant."""
    word, at, scope = text.partition("@")
    roles = [role.value for role in Role]
    if word not in roles:
        raise BadGrant(f"no role {word[:_LONGEST]!r}", hint=did_you_mean(word, roles))
    if not at:
        return Grant(Role(word))
    kind, colon, name = scope.partition(":")
    is_name = 0 < len(name) <= _LONGEST and name == name.strip() and name.isprintable()
    if kind not in ("model", "team") or not colon or not is_name:
        raise BadGrant(f"{text[:_LONGEST]!r}: after @ comes model:NAME or team:NAME")
    return Grant(Role(word), model=name) if kind == "model" else Grant(Role(word), team=name)


def parse_grants(texts: Iterable[str]) -> tuple[Grant, ...]:
    """Each once, in their order. Raises BadGrant."""
    found = tuple(dict.fromkeys(parse_grant(text) for text in texts))
    if not found:
        raise BadGrant("no role is given", hint=", ".join(role.value for role in Role))
    if len(found) > _MOST_GRANTS:
        raise BadGrant(f"{len(found)} roles, {_MOST_GRANTS} allowed", hint="grant by team instead")
    return found
