"""The lists of keys, limits, users and silences: what fits, and how a line is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query

from windvane.apps.console.access import may, sees
from windvane.apps.console.asking import Number, Word
from windvane.apps.console.csv_files import Sheet, moment
from windvane.apps.console.reading import shown_file
from windvane.apps.console.tables import search
from windvane.core.authorization import Action, Principal
from windvane.core.health import Tone
from windvane.core.routing import TenantLimit
from windvane.ports.control_store import KeyRecord, Silence, Tx
from windvane.ports.users import UserRecord
from windvane.usecases.read_model_file import as_duration

WORKS, ENDING, ENDED, REVOKED = "works", "ending", "ended", "revoked"
KEY_TONES: Mapping[str, Tone] = {
    WORKS: Tone.GOOD, ENDING: Tone.WARN, ENDED: Tone.QUIET, REVOKED: Tone.QUIET,
}  # fmt: skip
"""What a key may be; ``ending`` is one that gave way to its successor and still works."""


@dataclass(frozen=True, slots=True)
class ListAsked:
    """Which lines, each "" for all: words in them, the ``state`` of a key, its ``tenant``."""

    q: str = ""
    state: str = ""
    tenant: str = ""
    page: str = ""

    def query(self) -> dict[str, str]:
        return {"q": self.q, "state": self.state, "tenant": self.tenant}

    @property
    def narrowed(self) -> bool:
        return any(self.query().values())


def _keys(
    q: Word = "", state: Word = "", tenant: Annotated[str, Query(max_length=128)] = "",
    page: Number = "",
) -> ListAsked:  # fmt: skip
    return ListAsked(q, state, tenant, page)


def _words(q: Word = "", page: Number = "") -> ListAsked:
    return ListAsked(q, page=page)


KeysQuery = Annotated[ListAsked, Depends(_keys)]
WordsQuery = Annotated[ListAsked, Depends(_words)]


def key_state(key: KeyRecord, wall: float) -> str:
    if key.revoked_at is not None:
        return REVOKED
    if key.entry.expired(wall):
        return ENDED
    return ENDING if key.successor else WORKS


def find_keys(tx: Tx, asked: ListAsked, wall: float) -> list[KeyRecord]:
    """Those that work first, each the newest first."""
    order = list(KEY_TONES)
    held = [
        key
        for key in tx.key_records()
        if asked.tenant in ("", key.entry.tenant) and asked.state in ("", key_state(key, wall))
    ]
    held.sort(key=lambda key: (order.index(key_state(key, wall)), -key.created_at))
    return search(held, asked.q, _words_of_key)


def _words_of_key(key: KeyRecord) -> Sequence[str]:
    return (key.entry.id, key.entry.tenant, key.name, *key.entry.scopes, *map(str, key.grants))


def find_limits(tx: Tx, asked: ListAsked) -> list[TenantLimit]:
    """Everyone's first, then by tenant and model."""
    held = sorted(tx.limits(), key=lambda one: (one.tenant != "*", one.tenant, one.model))
    return search(held, asked.q, lambda one: (one.tenant, one.model))


def limit_words(limit: TenantLimit) -> str:
    """``600 requests in any 1m, 20 at one time``."""
    rate = f"{limit.rate:,} requests in any {as_duration(limit.per_s)}" if limit.rate else ""
    cap = f"{limit.concurrent:,} at one time" if limit.concurrent else ""
    return ", ".join(filter(None, (rate, cap))) or "no bound"


def find_users(tx: Tx, asked: ListAsked) -> list[UserRecord]:
    return search(tx.users(), asked.q, lambda user: (user.name, *map(str, user.grants)))


@dataclass(frozen=True, slots=True)
class SilenceLine:
    """A silence, and whether who looks may end it."""

    silence: Silence
    liftable: bool


def find_silences(tx: Tx, asked: ListAsked, wall: float, who: Principal) -> list[SilenceLine]:
    """Those that last, of models that ``who`` may see; the one that ends last first."""
    held = [one for one in tx.silences(wall) if not one.planned]
    files = {
        record.name: shown_file(record)
        for record in tx.model_records(sorted({silence.model for silence in held}))
    }
    lines = [
        SilenceLine(silence, may(who, Action.SILENCE, files[silence.model]))
        for silence in held
        if silence.model in files and sees(who, files[silence.model])
    ]
    return search(lines, asked.q, _words_of_silence)


def _words_of_silence(line: SilenceLine) -> Sequence[str]:
    held = line.silence
    return (held.model, held.cause, held.by, held.reason)


def keys_sheet(keys: Iterable[KeyRecord], wall: float) -> Sheet:
    columns = ("id", "tenant", "name", "state", "scopes", "roles", "created_at", "expires_at",
               "revoked_at", "successor")  # fmt: skip
    rows = [
        (
            key.entry.id, key.entry.tenant, key.name, key_state(key, wall),
            ", ".join(key.entry.scopes), ", ".join(map(str, key.grants)), moment(key.created_at),
            moment(key.entry.expires_at), moment(key.revoked_at), key.successor,
        )
        for key in keys
    ]  # fmt: skip
    return Sheet("keys", columns, rows)


def limits_sheet(limits: Iterable[TenantLimit]) -> Sheet:
    columns = ("tenant", "model", "rate", "per_s", "concurrent")
    rows = [(one.tenant, one.model, one.rate, one.per_s, one.concurrent) for one in limits]
    return Sheet("limits", columns, rows)


def users_sheet(users: Iterable[UserRecord]) -> Sheet:
    rows = [
        (user.name, ", ".join(map(str, user.grants)), moment(user.created_at),
         moment(user.password_at))
        for user in users
    ]  # fmt: skip
    return Sheet("users", ("name", "roles", "created_at", "password_at"), rows)


def silences_sheet(lines: Iterable[SilenceLine]) -> Sheet:
    rows = [
        (one.silence.model, one.silence.cause, moment(one.silence.until), one.silence.by,
         one.silence.reason)
        for one in lines
    ]  # fmt: skip
    return Sheet("silences", ("model", "cause", "until", "by", "reason"), rows)
