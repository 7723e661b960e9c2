"""Passwords by Argon2id."""

from windvane.adapters.argon2.hasher import Argon2Hasher

__all__ = ["Argon2Hasher"]
