"""Which system calls the process may make: an allow-list as a BPF program for seccomp.

Whatever is not on the list of ``calls`` fails with EPERM, so that a library can go on without
it. Numbers since 424, which all architectures share, fail with ENOSYS: the C library then takes
the call that came before it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

from windvane.apps.sandbox import calls, kernel

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_ALLOW, _ERRNO, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
_SHARED_SINCE = 424
_X32 = 0x40000000
_MODE_FILTER = 2

_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_EQUAL, _AT_LEAST = 0x15, 0x35
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16

# A clone makes a thread of this process, and no namespace.
_CLONE_THREAD = 0x00010000
_CLONE_REFUSED = 0x7E020000 | 0x00000080 | 0x00004000 | 0x00002000  # namespaces, vfork, ptrace
_TERMINALS = (0x5401, 0x5413)  # is it one, and how large
_IOCTL = (*_TERMINALS, 0x541B, 0x5421, 0x5450, 0x5451)  # and what Python's own files ask
# Copies of descriptors, flags and locks; not F_SETOWN, which sends signals to others.
_FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032, 1034)
# Names of threads and memory, huge pages, the timer's slack, and what is asked about oneself;
# not PR_SET_PDEATHSIG, by which the process ends with its parent.
_PRCTL = (3, 15, 16, 21, 23, 29, 30, 39, 41, 42, 50, 51, 56, 0x53564D41)
_ARCH_PRCTL = (0x1021, 0x1022, 0x1023)  # permission for wide registers (AMX)

_Step = tuple[int, int, int, int]


def restrict(*, own_pids: bool) -> bool:
    """Install the list; whether it stands. ``own_pids``: no other process has a number here."""
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        return False
    steps = program(machine, os.getpid(), own_pids=own_pids)
    body = b"".join(struct.pack("=HBBI", *step) for step in steps)
    held = ctypes.create_string_buffer(body, len(body))
    passed = ctypes.create_string_buffer(
        struct.pack("@HxxxxxxP", len(steps), ctypes.addressof(held)), 16
    )
    try:
        kernel.prctl(kernel.PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(passed))
    except OSError:
        return False
    return True


def program(machine: str, pid: int, *, own_pids: bool) -> list[_Step]:
    """The filter for a process ``pid``. Each check jumps over what follows it by a few steps
    only, since a jump reaches no further than 255."""
    refuse, absent = _give(_ERRNO | errno.EPERM), _give(_ERRNO | errno.ENOSYS)
    steps: list[_Step] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        _give(_KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        refuse,
    ]
    plain: list[int] = []
    for table in (calls.THREADS, calls.MEMORY, calls.FILES, calls.WAITING, calls.ITSELF):
        plain += calls.numbers(table, machine).values()
    filtered = calls.numbers(calls.FILTERED, machine)
    if own_pids:  # a thread's number is the process's own
        plain.append(filtered.pop("sched_setaffinity"))
    for number in plain:
        steps += [(_EQUAL, 0, 1, number), _give(_ALLOW)]
    for number in calls.numbers(calls.ABSENT, machine).values():
        steps += [(_EQUAL, 0, 1, number), absent]
    for name, number in filtered.items():
        check = [*_arguments(name, pid), refuse]
        steps += [(_EQUAL, 0, len(check), number), *check]
    return [*steps, (_AT_LEAST, 0, 1, _SHARED_SINCE), absent, refuse]


def _arguments(name: str, pid: int) -> list[_Step]:
    """Allow ``name`` with the right arguments, else fall through."""
    if name == "clone":
        return [
            *_argument(0),
            (_AND, 0, 0, _CLONE_REFUSED | _CLONE_THREAD),
            (_EQUAL, 0, 1, _CLONE_THREAD),
            _give(_ALLOW),
        ]
    position, values = {
        "prlimit64": (0, (0, pid)),
        "sched_setaffinity": (0, (0, pid)),
        "kill": (0, (pid,)),
        "tgkill": (0, (pid,)),
        "ioctl": (1, _IOCTL),
        "fcntl": (1, _FCNTL),
        "prctl": (0, _PRCTL),
        "arch_prctl": (0, _ARCH_PRCTL),
    }[name]
    steps = list(_argument(position))
    for value in values:
        steps += [(_EQUAL, 0, 1, value), _give(_ALLOW)]
    return steps


def _argument(position: int) -> list[_Step]:
    """Load the lower half: all of these are ints, of which the kernel reads no more."""
    return [(_LOAD, 0, 0, _ARGUMENTS + 8 * position)]


def _give(what: int) -> _Step:
    return (_RETURN, 0, 0, what)
