"""What this process takes from itself before it touches a foreign file.

Limits always hold. The protections of files, network and signals need a kernel with Landlock
and seccomp; where one is missing it is left out, and the answer to the first order says which
stand. They contain accidents and careless code; they are no proof against a kernel's bug.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38

# Landlock: its three calls have the same numbers everywhere.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1, 2, 4, 8, 1 << 14
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 1, 2
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc", "/proc", "/sys", "/opt", "/dev/urandom")

# seccomp: (architecture, highest plain number, calls to refuse). No socket is made, nobody
# else's memory is read, and no ring of calls goes around the filter.
_ARCHITECTURES = {
    "x86_64": (0xC000003E, 0x3FFFFFFF, (41, 101, 310, 311, 425)),
    "aarch64": (0xC00000B7, 0x3FFFFFFF, (198, 117, 270, 271, 425)),
}
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 1  # EPERM


def enter(parent: int, memory: int, file_bytes: int, folder: Path) -> list[str]:
    """Take it all; the protections that hold."""
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _drop_capabilities()
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before it could be told
        os._exit(1)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when it ends
    protections = _restrict_files(folder)
    if _restrict_calls():
        protections.append("network")
    return protections


def _drop_capabilities() -> None:
    """Root without any is still root's files' owner, but reads no other process's memory and
    goes around no protection."""
    header = struct.pack("=Ii", 0x20080522, 0)
    _libc.capset(header, bytes(24))


def _restrict_files(folder: Path) -> list[str]:
    """Nothing is read but the system and Python, nothing written but below ``folder``."""
    version = _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return []
    handled = (1 << 13) - 1  # all of the first version
    if version >= 2:
        handled |= 1 << 13
    if version >= 3:
        handled |= _TRUNCATE
    scoped = _SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS if version >= 6 else 0
    asked = struct.pack("=QQQ", handled, 0, scoped)
    size = len(asked) if scoped else 8
    rules = _libc.syscall(_CREATE_RULESET, asked, ctypes.c_size_t(size), 0)
    if rules < 0:
        return []
    try:
        for path in _readable():
            _allow(rules, path, _READ & handled)
        _allow(rules, "/dev/null", (_READ_FILE | _WRITE_FILE) & handled)
        _allow(rules, str(folder), handled)
        if _libc.syscall(_RESTRICT_SELF, rules, 0) != 0:
            return []
    finally:
        os.close(rules)
    return ["files", "signals"] if scoped else ["files"]


def _readable() -> Iterable[str]:
    ours = Path(__file__).parents[3]  # the sources of an editable installation
    own = (sys.prefix, sys.base_prefix, str(ours), *(p for p in sys.path if p))
    return dict.fromkeys(p for p in (*_SYSTEM, *own) if Path(p).exists())


def _allow(rules: int, path: str, access: int) -> None:
    at = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not Path(path).is_dir():
            access &= _ON_FILES
        _libc.syscall(_ADD_RULE, rules, 1, struct.pack("=Qi", access, at), 0)
    finally:
        os.close(at)


def _restrict_calls() -> bool:
    found = _ARCHITECTURES.get(platform.machine())
    if found is None:
        return False
    architecture, highest, refused = found
    load, equal, above, give = 0x20, 0x15, 0x25, 0x06
    end = 4 + len(refused) + 1  # where it is refused; "allow" stands right before
    steps = [(load, 0, 0, 4), (equal, 0, end - 2, architecture)]
    steps += [(load, 0, 0, 0), (above, end - 4, 0, highest)]
    steps += [(equal, end - 5 - i, 0, number) for i, number in enumerate(refused)]
    steps += [(give, 0, 0, _ALLOW), (give, 0, 0, _REFUSE)]
    body = b"".join(struct.pack("=HBBI", *step) for step in steps)
    held = ctypes.create_string_buffer(body, len(body))
    program = struct.pack("@HxxxxxxP", len(steps), ctypes.addressof(held))
    return _libc.prctl(_PR_SET_SECCOMP, 2, program, 0, 0) == 0
