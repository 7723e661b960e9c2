"""The sandbox's filter of system calls, run as the kernel would, for both architectures."""

from __future__ import annotations

import errno
from itertools import pairwise

import pytest

from windvane.apps.sandbox import calls, seccomp

PID = 4321
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOW, KILL = 0x7FFF0000, 0x80000000
EPERM, ENOSYS = 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
THREAD = 0x003D0F00  # what glibc makes a thread with

# name: (x86_64, aarch64); None where there is no such call.
REFUSED: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198), "connect": (42, 203), "socketpair": (53, 199), "sendmsg": (46, 211),
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "ptrace": (101, 117), "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40),
    "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "bpf": (321, 280),
    "keyctl": (250, 219), "add_key": (248, 217), "personality": (135, 92),
    "userfaultfd": (323, 282), "memfd_create": (319, 279), "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264), "process_vm_readv": (310, 270), "kcmp": (312, 272),
    "perf_event_open": (298, 241), "chmod": (90, None), "fchmod": (91, 52),
    "fchmodat": (268, 53), "chown": (92, None), "fchownat": (260, 54), "utimensat": (280, 88),
    "setxattr": (188, 5), "truncate": (76, 45), "mknodat": (259, 33), "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138), "setsid": (112, 157), "setpgid": (109, 154),
    "setuid": (105, 146), "setresuid": (117, 147), "capset": (126, 91), "setpriority": (141, 140),
    "sched_setscheduler": (144, 119), "mlockall": (151, 230), "splice": (275, 76),
    "vmsplice": (278, 75), "init_module": (175, 105), "kexec_load": (246, 104),
    "shmget": (29, 194), "mq_open": (240, 180), "seccomp": (317, 277), "syslog": (103, 116),
}  # fmt: skip
LIKE_AN_OLDER_KERNEL = {
    "pidfd_send_signal": 424, "io_uring_setup": 425, "open_tree": 428, "fsopen": 430,
    "pidfd_open": 434, "clone3": 435, "openat2": 437, "pidfd_getfd": 438, "mount_setattr": 442,
    "landlock_restrict_self": 446, "memfd_secret": 447, "fchmodat2": 452, "not made yet": 900,
}  # fmt: skip


def decide(machine: str, number: int, *given: int, own_pids: bool = False) -> int:
    """What the filter returns for a call."""
    words = {0: number, 4: ARCHITECTURES[machine]}
    words |= {16 + 8 * i: value & 0xFFFFFFFF for i, value in enumerate((*given, *[0] * 6)[:6])}
    steps = seccomp.program(machine, PID, own_pids=own_pids)
    held = at = 0
    while True:
        code, then, otherwise, value = steps[at]
        at += 1
        if code == 0x20:
            held = words[value]
        elif code == 0x54:
            held &= value
        elif code == 0x06:
            return value
        else:
            holds = held == value if code == 0x15 else held >= value
            at += then if holds else otherwise


def number(name: str, machine: str) -> int:
    return calls.numbers(calls.FILTERED, machine)[name]


machines = pytest.mark.parametrize("machine", ARCHITECTURES)


@machines
def test_what_is_not_on_the_list_is_refused(machine: str) -> None:
    column = list(ARCHITECTURES).index(machine)
    for name, numbers in REFUSED.items():
        if (found := numbers[column]) is not None:
            assert decide(machine, found) == EPERM, name
    for name, found in LIKE_AN_OLDER_KERNEL.items():
        assert decide(machine, found) == ENOSYS, name
    listed = " ".join(
        (calls.MEMORY, calls.FILES, calls.WAITING, calls.THREADS, calls.ITSELF, calls.FILTERED)
    )
    allowed = set(calls.numbers(listed, machine).values())
    for found in set(range(424)) - allowed:
        assert decide(machine, found) == EPERM, found
    assert not allowed & {n[column] for n in REFUSED.values()}
    assert not allowed & set(LIKE_AN_OLDER_KERNEL.values())


@machines
def test_numbers_are_named_once(machine: str) -> None:
    tables = (calls.MEMORY, calls.FILES, calls.WAITING, calls.THREADS, calls.ITSELF,
              calls.FILTERED, calls.ABSENT)  # fmt: skip
    found = sorted(n for table in tables for n in calls.numbers(table, machine).values())
    assert all(a < b for a, b in pairwise(found))


@machines
def test_threads_are_made_and_nothing_else(machine: str) -> None:
    clone = number("clone", machine)
    assert decide(machine, clone, THREAD) == ALLOW
    assert decide(machine, clone, 17) == EPERM  # a process, as fork makes it
    assert decide(machine, clone, 0x4100 | 17) == EPERM  # as posix_spawn does
    for namespace in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000,
                      0x40000000, 0x80):  # fmt: skip
        assert decide(machine, clone, THREAD | namespace) == EPERM


@machines
@pytest.mark.parametrize("name", ["prlimit64", "sched_setaffinity"])
def test_only_its_own_limits_and_processors(machine: str, name: str) -> None:
    found = number(name, machine)
    assert decide(machine, found, 0) == decide(machine, found, PID) == ALLOW
    for other in (1, PID + 1, 0xFFFFFFFF):
        assert decide(machine, found, other) == EPERM


@machines
def test_where_no_other_process_has_a_number_its_threads_choose_processors(machine: str) -> None:
    assert decide(machine, number("sched_setaffinity", machine), 7, own_pids=True) == ALLOW
    assert decide(machine, number("prlimit64", machine), 7, own_pids=True) == EPERM


@machines
@pytest.mark.parametrize("name", ["kill", "tgkill"])
def test_signals_go_to_itself_only(machine: str, name: str) -> None:
    assert decide(machine, number(name, machine), PID) == ALLOW
    for other in (0, 1, PID - 1, 0xFFFFFFFF):
        assert decide(machine, number(name, machine), other) == EPERM


@machines
def test_arguments_that_reach_others_are_refused(machine: str) -> None:
    assert decide(machine, number("ioctl", machine), 0, 0x5401) == ALLOW  # is it a terminal
    assert decide(machine, number("ioctl", machine), 0, 0x5412) == EPERM  # type into it
    assert decide(machine, number("fcntl", machine), 3, 1) == ALLOW
    for command in (8, 15, 10, 1031, 1024):  # owner, its extended form, signal, pipe size, lease
        assert decide(machine, number("fcntl", machine), 3, command) == EPERM
    assert decide(machine, number("prctl", machine), 15) == ALLOW
    for option in (1, 4, 8, 22, 28, 35, 59):  # what would loosen its confinement
        assert decide(machine, number("prctl", machine), option) == EPERM


def test_other_ways_into_the_kernel_are_closed() -> None:
    steps = seccomp.program("x86_64", PID, own_pids=True)
    assert steps[1] == (0x15, 1, 0, ARCHITECTURES["x86_64"])
    assert steps[2][3] == KILL  # the 32-bit calls have other numbers
    for plain in calls.numbers(calls.FILES, "x86_64").values():
        assert decide("x86_64", 0x40000000 | plain) == EPERM
    assert all(0 <= jump <= 255 for step in steps for jump in step[1:3])
    assert len(steps) < 4096
