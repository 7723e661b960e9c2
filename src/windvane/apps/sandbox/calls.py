"""The system calls that serving a model needs, by name and number.

Written from what numpy, scikit-learn, joblib, PyTorch, MLflow, ONNX Runtime, XGBoost and
LightGBM call while they load and predict. A line is ``name:x86_64:aarch64``; the second
architecture leaves out the old calls (``-``). Not here, so refused: whatever makes a process or
runs another program, sockets, namespaces, mounts, modes and owners of files, other processes'
memory and limits, keys, BPF, io_uring, memfd, and all that an administrator does.
"""

from __future__ import annotations

# Its own memory. No memfd: what lies in one counts for no limit of the process.
MEMORY = """
brk:12:214 mmap:9:222 munmap:11:215 mremap:25:216 mprotect:10:226 madvise:28:233 msync:26:227
mincore:27:232 membarrier:324:283 get_mempolicy:239:236 mbind:237:235 set_mempolicy:238:237
pkey_alloc:330:289 pkey_free:331:290 pkey_mprotect:329:288
"""

# Which files is said by Landlock and the mounts. Neither covers modes, owners and times, so
# the calls that change these are not here.
FILES = """
read:0:63 write:1:64 readv:19:65 writev:20:66 pread64:17:67 pwrite64:18:68 preadv:295:69
pwritev:296:70 preadv2:327:286 pwritev2:328:287 lseek:8:62 open:2:- openat:257:56 creat:85:-
close:3:57 close_range:436:436 stat:4:- lstat:6:- fstat:5:80 newfstatat:262:79 statx:332:291
access:21:- faccessat:269:48 faccessat2:439:439 readlink:89:- readlinkat:267:78 getdents:78:-
getdents64:217:61 statfs:137:43 fstatfs:138:44 getcwd:79:17 chdir:80:49 fchdir:81:50 umask:95:166
ftruncate:77:46 fallocate:285:47 fadvise64:221:223 fsync:74:82 fdatasync:75:83 flock:73:32
dup:32:23 dup2:33:- dup3:292:24 sendfile:40:71 copy_file_range:326:285 getxattr:191:8
lgetxattr:192:9 fgetxattr:193:10 listxattr:194:11 llistxattr:195:12 flistxattr:196:13 mkdir:83:-
mkdirat:258:34 rmdir:84:- unlink:87:- unlinkat:263:35 rename:82:- renameat:264:38
renameat2:316:276 link:86:- linkat:265:37 symlink:88:- symlinkat:266:36
"""

# Pipes within the process, and waiting.
WAITING = """
pipe:22:- pipe2:293:59 eventfd:284:- eventfd2:290:19 epoll_create:213:- epoll_create1:291:20
epoll_ctl:233:21 epoll_wait:232:- epoll_pwait:281:22 epoll_pwait2:441:441 poll:7:- ppoll:271:73
select:23:- pselect6:270:72 nanosleep:35:101 clock_nanosleep:230:115 pause:34:- alarm:37:-
getitimer:36:102 setitimer:38:103
"""

# Threads and their signals.
THREADS = """
futex:202:98 futex_waitv:449:449 set_robust_list:273:99 set_tid_address:218:96 rseq:334:293
sched_yield:24:124 sched_getaffinity:204:123 sched_getparam:143:121 sched_getscheduler:145:120
sched_get_priority_max:146:125 sched_get_priority_min:147:126 getpriority:140:141 exit:60:93
exit_group:231:94 wait4:61:260 waitid:247:95 restart_syscall:219:128 rt_sigaction:13:134
rt_sigprocmask:14:135 rt_sigreturn:15:139 rt_sigpending:127:136 rt_sigtimedwait:128:137
rt_sigsuspend:130:133 sigaltstack:131:132
"""

# What the process is, what it used, and what time it is.
ITSELF = """
getpid:39:172 gettid:186:178 getppid:110:173 getpgrp:111:- getpgid:121:155 getsid:124:156
getuid:102:174 geteuid:107:175 getgid:104:176 getegid:108:177 getresuid:118:148 getresgid:120:150
getgroups:115:158 capget:125:90 getrlimit:97:163 setrlimit:160:164 getrusage:98:165
times:100:153 time:201:- gettimeofday:96:169 clock_gettime:228:113 clock_getres:229:114
getcpu:309:168 getrandom:318:278 sysinfo:99:179 uname:63:160
"""

# With some arguments only: see ``seccomp``.
FILTERED = """
clone:56:220 prlimit64:302:261 kill:62:129 tgkill:234:131 ioctl:16:29
fcntl:72:25 prctl:157:167 arch_prctl:158:- sched_setaffinity:203:122
"""

# Answered as by an older kernel (ENOSYS): libraries then take the call before it, whose
# arguments a filter can see.
ABSENT = """
clone3:435:435 openat2:437:437
"""


def numbers(table: str, machine: str) -> dict[str, int]:
    """The calls of one table by name, as ``machine`` numbers them."""
    column = {"x86_64": 1, "aarch64": 2}[machine]
    found = (entry.split(":") for entry in table.split())
    return {fields[0]: int(fields[column]) for fields in found if fields[column] != "-"}
