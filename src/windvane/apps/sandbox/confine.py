"""What this process takes from itself before it touches a foreign file.

Limits always hold. The other protections need a kernel that has them and a container that lets
them be used; each one is left out where it cannot be had, and the answer to the first order
says which hold:

- ``files``: it reads the system, Python and the version's files; it writes in its folder only.
- ``network``: it makes no socket.
- ``signals``: it signals nobody but itself.
- ``syscalls``: it makes no system call but those on a list (``calls``): no process, no program.
- ``processes``: it sees no other process.
- ``user``: it runs as a user of its own, who owns nothing else.
- ``disk``: what it writes is bounded as a whole, and lies in memory.

They contain accidents and hostile code; they are no proof against a kernel's bug.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from windvane.apps.sandbox import kernel, landlock, namespaces, seccomp

# The system's libraries, what they read of the machine, and nothing of its configuration that
# could hold a secret.
_SYSTEM = (
    "/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin",
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives",
    "/etc/localtime", "/etc/timezone", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf",
    "/etc/os-release", "/etc/mime.types", "/etc/ssl/certs",
    "/sys/devices/system", "/sys/kernel/mm",
    "/dev/urandom", "/dev/random", "/dev/zero",
)  # fmt: skip
_DEVICES = ("/dev/null",)
# Where /proc shows all processes: this one, and what it says of the machine.
_PROCESS = (
    "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/version",
    "/proc/filesystems", "/proc/loadavg", "/proc/uptime", "/proc/sys/vm", "/proc/sys/kernel",
)  # fmt: skip

_ROOM_FILES = 4  # all that it writes together, as a multiple of one file's limit
_DESCRIPTORS = 1024
_THREADS = 512
_SHARED_THREADS = 4096
# A user of its own for each process: a number that no system hands out, and its own.
_FIRST_USER = 1_900_000_000


def enter(
    parent: int, memory: int, file_bytes: int, folder: Path, own: Sequence[str] | None = None
) -> tuple[list[str], list[str]]:
    """Take it all; the protections that hold, and sentences on what could not be had. Goes on in
    another process where it can. ``own``: what is read beside the system, Python's own folders by
    default."""
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    _end_with_parent()
    if os.getppid() != parent:  # it died before it could be told
        os._exit(1)
    user = _FIRST_USER + os.getpid()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when it ends
    held: set[str] = set()
    missed: list[str] = []
    readable = list(_readable(own))
    watched, own_root, own_processes = None, False, False
    if namespaces.enter():
        watched = namespaces.fork()
        held |= {"network", "signals"}
        try:
            room = _ROOM_FILES * file_bytes
            own_processes = namespaces.enter_root(folder, readable, _DEVICES, room)
            own_root = True
            held |= {"files", "disk"}
        except OSError as error:
            missed.append(f"no root folder of its own: {error}")
    changes_user = _reads_what_it_needs_as(user) and _give(folder, user)
    if own_root:
        namespaces.freeze(folder)
    if changes_user:
        held.add("user")
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    kernel.drop_capabilities()
    _end_with_parent()  # a change of user forgets it
    if watched is not None and watched.alone():
        os._exit(1)
    _limit(memory, file_bytes, own_user="user" in held or watched is not None)
    visible = ["/proc"] if own_processes else _PROCESS
    writable = [str(folder), namespaces.SHARED_MEMORY] if own_root else [str(folder)]
    locked = landlock.restrict([*readable, *visible], writable, _DEVICES)
    held |= locked
    if own_processes or "files" in locked:
        held.add("processes")
    if seccomp.restrict(own_pids=watched is not None):
        held |= {"network", "signals", "syscalls"}
    return sorted(held), missed


def _end_with_parent() -> None:
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)


def _limit(memory: int, file_bytes: int, *, own_user: bool) -> None:
    limits = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_FSIZE: file_bytes,
        resource.RLIMIT_NOFILE: _DESCRIPTORS,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_SIGPENDING: _THREADS,
    }
    # Without a user of its own, what others of the same user run counts, too.
    limits[resource.RLIMIT_NPROC] = _THREADS if own_user else _threads_now() + _SHARED_THREADS
    for kind, most in limits.items():
        _, hard = resource.getrlimit(kind)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (allowed, allowed))


def _threads_now() -> int:
    found = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it ended meanwhile
            found += len(os.listdir(f"/proc/{pid}/task"))
    return found


def _reads_what_it_needs_as(user: int) -> bool:
    """Whether this is root, who could still end a process of ``user``, and that one can read
    Python and the libraries."""
    if os.geteuid() != 0 or not kernel.may_kill():
        return False
    try:
        os.setgroups([])
        os.setegid(user)
        os.seteuid(user)
        for path in sys.path:
            if Path(path).is_dir():
                os.listdir(path)
        for file in (os.__file__, __file__, resource.__file__):
            with open(file, "rb") as held:
                held.read(1)
    except OSError:
        return False
    finally:
        os.seteuid(0)
        os.setegid(0)
    return True


def _give(folder: Path, user: int) -> bool:
    with contextlib.suppress(OSError):  # read-only, and open anyway, below a root of its own
        folder.parent.chmod(0o711)
    try:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user, user, follow_symlinks=False)
    except OSError:
        return False
    return True


def _readable(own: Sequence[str] | None) -> Iterable[str]:
    if own is None:
        ours = Path(__file__).parents[3]  # the sources of an editable installation
        own = (sys.prefix, sys.base_prefix, str(ours), *(p for p in sys.path if p))
    return dict.fromkeys(p for p in (*_SYSTEM, *own) if Path(p).exists())
