"""What hostile code tries in the sandbox. Each attack gives True if it got what it wanted; most
end with an OSError instead. Pickled by value, so all that they need is imported inside."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import struct
from collections.abc import Callable
from pathlib import Path

Attack = Callable[[int, str], object]  # the parent's process, a file outside


def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def call(number: int, *given: object) -> bool:
    passed = [ctypes.c_long(g) if isinstance(g, int) else g for g in given]
    return libc().syscall(ctypes.c_long(number), *passed) >= 0


def fork_by(number: int, *given: object) -> bool:
    made = libc().syscall(ctypes.c_long(number), *[ctypes.c_long(int(str(g))) for g in given])
    if made == 0:  # the child
        os._exit(0)
    return made > 0


def limits_parent(parent: int, _: str) -> object:
    return resource.prlimit(parent, resource.RLIMIT_NOFILE, (3, 3))


def reads_limits_of_parent(parent: int, _: str) -> object:
    return resource.prlimit(parent, resource.RLIMIT_NOFILE)


def changes_mode(_: int, outside: str) -> object:
    Path(outside).chmod(0o777)
    return True


def changes_mode_at(_: int, outside: str) -> object:
    return call(268, -100, outside.encode(), 0o777) or call(452, -100, outside.encode(), 0o777, 0)


def changes_mode_of_its_log(_: int, outside: str) -> object:
    os.fchmod(1, 0o777)
    return True


def changes_mode_of_its_log_by_path(_: int, outside: str) -> object:
    Path("/proc/self/fd/1").chmod(0o777)
    return True


def changes_owner(_: int, outside: str) -> object:
    os.chown(outside, 1, 1)
    return True


def changes_times(_: int, outside: str) -> object:
    os.utime(outside, (1, 1))
    return True


def sets_attribute(_: int, outside: str) -> object:
    os.setxattr(outside, "user.x", b"1")
    return True


def reads_outside(_: int, outside: str) -> object:
    return Path(outside).read_text()


def writes_outside(_: int, outside: str) -> object:
    return Path(outside).write_text("changed")


def truncates_outside(_: int, outside: str) -> object:
    os.truncate(outside, 0)
    return True


def removes_outside(_: int, outside: str) -> object:
    Path(outside).unlink()
    return True


def follows_a_link_out(_: int, outside: str) -> object:
    Path("tmp/link").symlink_to(outside)
    return Path("tmp/link").read_text()


def links_outside_in(_: int, outside: str) -> object:
    os.link(outside, "tmp/hard")
    return True


def reads_shadow(_: int, outside: str) -> object:
    return Path("/etc/shadow").read_bytes()


def opens_memory_device(_: int, outside: str) -> object:
    return os.open("/dev/mem", os.O_RDONLY)


def writes_kernel_settings(_: int, outside: str) -> object:
    os.close(os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY))
    return True


def escapes_the_oom_killer(_: int, outside: str) -> object:
    return Path("/proc/self/oom_score_adj").write_text("-1000")


def makes_device(_: int, outside: str) -> object:
    os.mknod("tmp/disk", 0o060600, os.makedev(8, 0))
    return True


def unshares(_: int, outside: str) -> object:
    return call(272, 0x10000000) or call(272, 0x00020000)


def enters_namespace(parent: int, _: str) -> object:
    at = os.open("/proc/self/ns/net", os.O_RDONLY)
    return call(308, at, 0)


def traces(parent: int, _: str) -> object:
    return call(101, 16, parent, 0, 0) or call(101, 0x4206, parent, 0, 0) or call(101, 0, 0, 0, 0)


def stops_parent(parent: int, _: str) -> object:
    os.kill(parent, signal.SIGSTOP)
    return True


def signals_its_group(_: int, outside: str) -> object:
    os.kill(0, signal.SIGCONT)
    return True


def signals_everybody(_: int, outside: str) -> object:
    os.kill(-1, 0)
    return True


def signals_a_thread_of_parent(parent: int, _: str) -> object:
    info = ctypes.create_string_buffer(128)
    return (
        call(234, parent, parent, 0) or call(200, parent, 0) or call(129, parent, 0, info)
        or call(297, parent, parent, 0, info)
    )  # fmt: skip


def signals_by_descriptor(parent: int, _: str) -> object:
    at = libc().syscall(ctypes.c_long(434), ctypes.c_long(parent), ctypes.c_long(0))
    return at >= 0 or call(424, 1, 0, None, 0)


def makes_a_pipe_signal_parent(parent: int, _: str) -> object:
    import fcntl

    reading, _writing = os.pipe()
    fcntl.fcntl(reading, 8, parent)
    return True


def reads_environment_of_parent(parent: int, _: str) -> object:
    return Path(f"/proc/{parent}/environ").read_bytes()


def lists_processes(_: int, outside: str) -> object:
    return [n for n in os.listdir("/proc") if n.isdigit() and int(n) != os.getpid()]


def reads_memory_of_parent(parent: int, _: str) -> object:
    vector = ctypes.create_string_buffer(16)
    return call(310, parent, vector, 1, vector, 1, 0) or call(438, parent, 0, 0)


def compares_processes(parent: int, _: str) -> object:
    return call(312, parent, os.getpid(), 0, 0, 0)


def pins_parent(parent: int, _: str) -> object:
    os.sched_setaffinity(parent, {0})
    return True


def makes_parent_slow(parent: int, _: str) -> object:
    os.setpriority(os.PRIO_PROCESS, parent, 19)
    return True


def makes_socket(_: int, outside: str) -> object:
    return socket.socket(socket.AF_INET)


def makes_unix_socket(_: int, outside: str) -> object:
    return socket.socket(socket.AF_UNIX)


def makes_netlink_socket(_: int, outside: str) -> object:
    return socket.socket(16, socket.SOCK_RAW)


def makes_socket_pair(_: int, outside: str) -> object:
    return socket.socketpair()


def connects_to_abstract_socket(_: int, outside: str) -> object:
    address = struct.pack("H", 1) + b"\0windvane-test-abstract"
    told = ctypes.create_string_buffer(address, len(address))
    return any(call(42, at, told, len(address)) for at in range(3, 32))


def sends_descriptor_to_parent(_: int, outside: str) -> object:
    header = ctypes.create_string_buffer(56)
    return any(call(46, at, header, 0) for at in range(3, 32))


def forks(_: int, outside: str) -> object:
    if os.fork() == 0:
        os._exit(0)
    return True


def clones(_: int, outside: str) -> object:
    return fork_by(56, signal.SIGCHLD, 0, 0, 0, 0) or fork_by(57) or fork_by(435, 0, 0)


def clones_into_namespaces(_: int, outside: str) -> object:
    return fork_by(56, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)


def spawns(_: int, outside: str) -> object:
    return os.posix_spawn("/bin/true", ["true"], {})


def executes(_: int, outside: str) -> object:
    os.execv("/bin/true", ["true"])


def executes_from_memory(_: int, outside: str) -> object:
    at = os.memfd_create("program")
    os.execve(at, ["x"], {})


def starts_session(_: int, outside: str) -> object:
    os.setsid()
    return True


def outlives_parent(_: int, outside: str) -> object:
    return libc().prctl(1, ctypes.c_ulong(0), 0, 0, 0) == 0


def becomes_traceable(_: int, outside: str) -> object:
    return libc().prctl(4, ctypes.c_ulong(1), 0, 0, 0) == 0


def becomes_root(_: int, outside: str) -> object:
    os.setresuid(0, 0, 0)
    return True


def raises_limits(_: int, outside: str) -> object:
    resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 20, 1 << 20))
    return True


def uses_io_uring(_: int, outside: str) -> object:
    return call(425, 1, ctypes.create_string_buffer(120))


def uses_bpf(_: int, outside: str) -> object:
    return call(321, 0, ctypes.create_string_buffer(120), 120)


def uses_perf(_: int, outside: str) -> object:
    return call(298, ctypes.create_string_buffer(120), 0, -1, -1, 0)


def mounts(_: int, outside: str) -> object:
    return call(165, b"none", b"tmp", b"tmpfs", 0, None) or call(430, b"tmpfs", 0)


def unmounts(_: int, outside: str) -> object:
    return call(166, b"/dev/shm", 2) or call(155, b".", b".") or call(442, -100, b"/", 0, None, 0)


def changes_root(_: int, outside: str) -> object:
    os.chroot(".")
    return True


def uses_keys(_: int, outside: str) -> object:
    return call(250, 0, -3, 1) or call(248, b"user", b"x", b"y", 1, -3)


def changes_personality(_: int, outside: str) -> object:
    return call(135, 0x0040000)


def faults_in_user_space(_: int, outside: str) -> object:
    return call(323, 0) or call(323, 1)


def opens_by_handle(_: int, outside: str) -> object:
    handle = ctypes.create_string_buffer(struct.pack("Ii", 8, 1) + bytes(128), 136)
    at = ctypes.c_int(0)
    return call(303, -100, b".", handle, ctypes.byref(at), 0) or call(304, 3, handle, 0)


def loads_module(_: int, outside: str) -> object:
    return call(175, b"", 0, b"") or call(313, 3, b"", 0)


def uses_old_interface(_: int, outside: str) -> object:
    """The same calls by the numbers of x32."""
    return call(0x40000000 | 39)


def types_into_terminal(_: int, outside: str) -> object:
    return libc().ioctl(0, ctypes.c_ulong(0x5412), b"x") == 0


def splices(_: int, outside: str) -> object:
    reading, writing = os.pipe()
    os.write(writing, b"x")
    return call(276, reading, writing, 1, 0) or call(278, writing, None, 0, 0)


NOT_ATTACKS = {"libc", "call", "fork_by"}
ATTACKS: list[Attack] = [
    value
    for name, value in list(globals().items())
    if callable(value) and getattr(value, "__module__", "") == __name__ and name not in NOT_ATTACKS
]


def attempt(attack: Attack, parent: int, outside: str) -> bool:
    try:
        return bool(attack(parent, outside))
    except (OSError, ValueError):
        return False
