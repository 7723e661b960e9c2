"""Which files the process may read and write, and whom it may signal: Landlock."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from windvane.apps.sandbox import kernel

# Its three calls have the same numbers everywhere.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_FIRST, _REFER, _TRUNCATE, _IOCTL_DEVICES = (1 << 13) - 1, 1 << 13, 1 << 14, 1 << 15
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_NETWORK = 1 | 2  # bind and connect by TCP
_SCOPES = 1 | 2  # abstract sockets and signals
_TRUNCATES_SINCE, _NETWORK_SINCE, _IOCTL_SINCE, _SCOPES_SINCE = 3, 4, 5, 6


def version() -> int:
    """0 if the kernel has none."""
    try:
        return kernel.syscall(_CREATE_RULESET, None, 0, _VERSION)
    except OSError:
        return 0


def restrict(readable: Iterable[str], writable: Iterable[str], devices: Iterable[str]) -> set[str]:
    """Nothing is read or written but these; "files" and "signals" as far as it gives them.

    Before its third version it does not cover truncation: then the files count as unprotected.
    """
    known = version()
    if known < 1:
        return set()
    handled = _FIRST | (_REFER if known >= 2 else 0)
    handled |= _TRUNCATE if known >= _TRUNCATES_SINCE else 0
    handled |= _IOCTL_DEVICES if known >= _IOCTL_SINCE else 0
    network = _NETWORK if known >= _NETWORK_SINCE else 0
    scopes = _SCOPES if known >= _SCOPES_SINCE else 0
    asked = struct.pack("=QQQ", handled, network, scopes)
    size = 24 if scopes else 16 if network else 8
    try:
        rules = kernel.syscall(_CREATE_RULESET, ctypes.create_string_buffer(asked), size, 0)
    except OSError:
        return set()
    try:
        for path in readable:
            _allow(rules, path, _READ & handled)
        for path in devices:
            _allow(rules, path, (_READ_FILE | _WRITE_FILE) & handled)
        for path in writable:
            _allow(rules, path, handled)
        kernel.syscall(_RESTRICT_SELF, rules, 0)
    except OSError:
        return set()
    finally:
        os.close(rules)
    found = {"files"} if known >= _TRUNCATES_SINCE else set[str]()
    return found | {"signals"} if scopes else found


def _allow(rules: int, path: str, access: int) -> None:
    try:
        at = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what cannot be reached need not be allowed
    try:
        if not Path(path).is_dir():
            access &= _ON_FILES
        rule = ctypes.create_string_buffer(struct.pack("=Qi", access, at), 12)
        kernel.syscall(_ADD_RULE, rules, 1, rule, 0)
    finally:
        os.close(at)
