"""What is stored of a password: found again by that password alone, and slow to search."""

from __future__ import annotations

import pytest

from windvane.adapters.argon2 import Argon2Hasher


@pytest.fixture(scope="module")
def hasher() -> Argon2Hasher:
    return Argon2Hasher()


def test_a_password_is_found_again_and_no_other(hasher: Argon2Hasher) -> None:
    for password in ("correct horse battery", "пароль от всего", "x" * 256):
        stored = hasher.hash(password)
        assert password not in stored
        assert hasher.hash(password) != stored, "each has a salt of its own"
        assert hasher.verify(stored, password)
        assert not hasher.verify(stored, password + "x")
        assert not hasher.verify(stored, "")


@pytest.mark.parametrize("stored", ["", "x", "$argon2id$v=19$m=1,t=1,p=1$x$y", "plain text"])
def test_nobodys_and_broken_hashes_fit_nothing(hasher: Argon2Hasher, stored: str) -> None:
    assert not hasher.verify(stored, "correct horse battery")
    assert not hasher.verify(stored, "")


def test_it_is_argon2id_with_the_memory_of_rfc_9106(hasher: Argon2Hasher) -> None:
    stored = hasher.hash("correct horse battery")
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert not hasher.is_outdated(stored)
    assert hasher.is_outdated(Argon2Hasher(memory_kib=64, passes=1).hash("correct horse battery"))
