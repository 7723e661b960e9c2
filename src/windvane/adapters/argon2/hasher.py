"""Argon2id with the parameters of RFC 9106 for machines with little memory."""

from __future__ import annotations

import secrets

import argon2
from argon2.exceptions import InvalidHashError, VerificationError


class Argon2Hasher:
    """64 MiB, three passes, four lanes; ``memory_kib`` and ``passes`` are for tests."""

    def __init__(self, *, memory_kib: int = 65_536, passes: int = 3) -> None:
        self._hasher = argon2.PasswordHasher(
            time_cost=passes, memory_cost=memory_kib, parallelism=4, type=argon2.Type.ID
        )
        self._nobody = self._hasher.hash(secrets.token_urlsafe(32))

    def hash(self, password: str) -> str:
        return self._hasher.hash(password)

    def verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored or self._nobody, password) and bool(stored)
        except InvalidHashError:
            self.verify("", password)
            return False
        except VerificationError:
            return False

    def is_outdated(self, stored: str) -> bool:
        try:
            return self._hasher.check_needs_rehash(stored)
        except InvalidHashError:
            return True
