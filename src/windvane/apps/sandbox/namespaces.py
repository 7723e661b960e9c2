"""What the process can see: its own processes, network, and a root folder of a few mounts.

Root uses its right to make namespaces; anybody else makes a user namespace first, in which the
rest is allowed. A kernel or a container that gives neither leaves the process where it is.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterable
from pathlib import Path

from windvane.apps.sandbox import kernel

_NEW_USER = 0x10000000
_NEW_OTHERS = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000

_NO_SUID, _NO_DEVICES, _NO_EXECUTION = 2, 4, 8
_BIND, _RECURSIVE, _PRIVATE = 4096, 16384, 1 << 18
_DETACH = 2
_ATTRIBUTE_READ_ONLY, _ATTRIBUTE_NO_SUID = 1, 2
_ROOT_OPTIONS = "size=1m,nr_inodes=8k,mode=755"
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - a file system of its own, not the machine's
_ROOM = ("home", "tmp", "shm")


def enter() -> bool:
    """Namespaces of its own, if this kernel gives them. The next child is the first process."""
    uid, gid = os.getuid(), os.getgid()
    with contextlib.suppress(OSError):
        kernel.unshare(_NEW_OTHERS)
        return True
    try:
        kernel.unshare(_NEW_USER | _NEW_OTHERS)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    except OSError:
        return False
    return True


class Watched:
    """Knows whether the process that waits for this one is still there."""

    def __init__(self, reading: int) -> None:
        self._reading = reading

    def alone(self) -> bool:
        return bool(select.select([self._reading], [], [], 0.0)[0])


def fork() -> Watched:
    """Go on in a child; this process only waits for it and ends as it ends."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.closerange(3, writing)  # the socket, too: else nobody hears that the child hung up
        # When this process is killed, the kernel kills the child in its name. The child may be
        # another user's by then.
        kernel.drop_capabilities(keep=kernel.CAP_KILL)
        _end_as(os.waitpid(child, 0)[1])
    os.close(writing)
    return Watched(reading)


def _end_as(status: int) -> None:
    if os.WIFSIGNALED(status):
        ended_by = os.WTERMSIG(status)
        with contextlib.suppress(OSError):  # SIGKILL has no handler to take away
            signal.signal(ended_by, signal.SIG_DFL)
        os.kill(os.getpid(), ended_by)
    os._exit(os.waitstatus_to_exitcode(status))


def enter_root(folder: Path, readable: Iterable[str], devices: Iterable[str], room: int) -> bool:
    """A root with nothing in it but ``readable``, ``devices`` and ``folder``, whose ``files`` are
    there and the rest is an empty file system of ``room`` bytes; whether /proc shows this
    namespace's processes only. Raises OSError, and then the root is the old one."""
    root = str(folder.parent / "root")
    kernel.mount("none", "/", flags=_RECURSIVE | _PRIVATE)
    kernel.mount("tmpfs", root, "tmpfs", _NO_SUID | _NO_DEVICES, _ROOT_OPTIONS)
    try:
        own_processes = _fill(root, folder, [*readable, *devices], room)
        kernel.pivot_root(root, root)  # the old one lies on top of the new one now
    except OSError:
        kernel.unmount(root, _DETACH)
        raise
    kernel.unmount("/", _DETACH)
    os.chdir(folder)
    return own_processes


def freeze(folder: Path) -> None:
    """The version's files are read-only from here on."""
    kernel.set_mount_attributes(str(folder / "files"), _ATTRIBUTE_READ_ONLY)


def _fill(root: str, folder: Path, paths: Iterable[str], room: int) -> bool:
    placed: list[str] = []
    for path in sorted(set(paths), key=len):
        if not path.startswith("/proc"):
            _place(root, path, placed)
    own_processes = _mount_processes(root)
    inside = root + str(folder)
    for made in (root + SHARED_MEMORY, inside):
        Path(made).mkdir(parents=True, exist_ok=True)
    kernel.set_mount_attributes(root, _ATTRIBUTE_READ_ONLY | _ATTRIBUTE_NO_SUID)
    limits = f"size={room},nr_inodes=16k,mode=700"
    kernel.mount("tmpfs", inside, "tmpfs", _NO_SUID | _NO_DEVICES, limits)
    for name in ("files", *_ROOM):
        (Path(inside) / name).mkdir(mode=0o700)
    flags = _BIND | _RECURSIVE
    kernel.mount(str(folder / "files"), f"{inside}/files", flags=flags)
    kernel.mount(f"{inside}/shm", root + SHARED_MEMORY, flags=flags)
    return own_processes


def _mount_processes(root: str) -> bool:
    target = f"{root}/proc"
    Path(target).mkdir(exist_ok=True)
    flags = _NO_SUID | _NO_DEVICES | _NO_EXECUTION
    try:
        kernel.mount("proc", target, "proc", flags)
    except OSError:  # a container hides parts of it: then nobody below may see all of it
        kernel.mount("/proc", target, flags=_BIND | _RECURSIVE)
        return False
    return True


def _place(root: str, path: str, placed: list[str]) -> None:
    """Bind ``path`` below ``root``; a link on the way is made again, and its target bound."""
    whole = Path(path)
    for at in (*reversed(whole.parents[:-1]), whole):
        if any(at.is_relative_to(other) for other in placed):
            return
        made = Path(f"{root}{at}")
        if at.is_symlink():
            if not made.is_symlink():
                made.symlink_to(at.readlink())
            target = at.parent / at.readlink() / whole.relative_to(at)
            _place(root, os.path.normpath(target), placed)
            return
        if not at.exists():
            return
        if at.is_dir():
            made.mkdir(exist_ok=True)
        else:
            made.touch()
    kernel.mount(path, f"{root}{path}", flags=_BIND | _RECURSIVE)
    placed.append(path)
