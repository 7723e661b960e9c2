"""The C library's calls that Python has no name for; each raises OSError."""

from __future__ import annotations

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 22, 38

CAP_KILL = 1 << 5  # of the first 32: all that is kept anywhere

_CAPABILITY_VERSION_3 = 0x20080522
_MOUNT_SETATTR = 442  # these numbers are the same on every architecture
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def syscall(number: int, *given: object) -> int:
    """Integers are passed as C longs."""
    passed = [ctypes.c_long(value) if isinstance(value, int) else value for value in given]
    return _checked(_libc.syscall(ctypes.c_long(number), *passed))


def prctl(option: int, *given: int) -> None:
    passed = [ctypes.c_ulong(value) for value in (*given, 0, 0, 0, 0)[:4]]
    _checked(_libc.prctl(option, *passed))


def unshare(flags: int) -> None:
    _checked(_libc.unshare(flags))


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    arguments = (source.encode(), target.encode(), kind.encode() or None)
    _checked(_libc.mount(*arguments, ctypes.c_ulong(flags), options.encode() or None))


def unmount(target: str, flags: int) -> None:
    _checked(_libc.umount2(target.encode(), flags))


def pivot_root(new: str, old: str) -> None:
    syscall(_PIVOT_ROOT[os.uname().machine], new.encode(), old.encode())


def set_mount_attributes(target: str, attributes: int) -> None:
    """For ``target`` and all mounts below it."""
    asked = (ctypes.c_uint64 * 4)(attributes, 0, 0, 0)
    syscall(_MOUNT_SETATTR, _AT_FDCWD, target.encode(), _AT_RECURSIVE, asked, 32)


def drop_capabilities(keep: int = 0) -> None:
    """Root without any still owns root's files, but goes around no protection. ``keep``: a mask
    of those that stay, where they are there."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    kept = keep & _capabilities() if keep else 0
    _checked(_libc.capset(header, (ctypes.c_uint32 * 6)(kept, kept)))


def may_kill() -> bool:
    """Whether it may signal the processes of other users."""
    return bool(_capabilities() & CAP_KILL)


def _capabilities() -> int:
    """The effective ones, the first 32. Not from /proc: who waits for a sandbox shares its mounts,
    and has no /proc from the moment that its child has taken the root away."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()
    _checked(_libc.capget(header, sets))
    return sets[0]
