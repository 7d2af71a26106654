"""Which system calls a worker may make: one policy, as Docker's profile by name and as numbers for bubblewrap's filter.

An allow-list by name where the runtime takes names. bubblewrap takes a BPF program, so there the calls that are not on
that list are refused by number, and so is everything newer than this table. The reasons are in the threat model: a
shared kernel is the boundary, and these are the calls by which it was crossed, or that reach past the sandbox's
namespaces.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Final, NamedTuple

EPERM: Final = 1
ENOSYS: Final = 38
EAFNOSUPPORT: Final = 97
AF_UNIX: Final = 1

CLONE_NEW_FLAGS: Final = 0x7E020080
"""CLONE_NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""

PERSONALITIES: Final = (0x0, 0xFFFFFFFF)
"""Of `personality`: the default, and the question what it is."""


class Refused(NamedTuple):
    """A call by its number on x86_64 and on aarch64 (None: it does not exist there)."""

    x86_64: int | None
    aarch64: int | None


REFUSED: Final[dict[str, Refused]] = {
    "_sysctl": Refused(156, None),
    "acct": Refused(163, 89),
    "add_key": Refused(248, 217),
    "adjtimex": Refused(159, 171),
    "afs_syscall": Refused(183, None),
    "bpf": Refused(321, 280),
    "chroot": Refused(161, 51),
    "clock_adjtime": Refused(305, 266),
    "clock_settime": Refused(227, 112),
    "create_module": Refused(174, None),
    "delete_module": Refused(176, 106),
    "fanotify_init": Refused(300, 262),
    "finit_module": Refused(313, 273),
    "fsconfig": Refused(431, 431),
    "fsmount": Refused(432, 432),
    "fsopen": Refused(430, 430),
    "fspick": Refused(433, 433),
    "get_kernel_syms": Refused(177, None),
    "get_mempolicy": Refused(239, 236),
    "getpmsg": Refused(181, None),
    "init_module": Refused(175, 105),
    "io_uring_enter": Refused(426, 426),
    "io_uring_register": Refused(427, 427),
    "io_uring_setup": Refused(425, 425),
    "ioperm": Refused(173, None),
    "iopl": Refused(172, None),
    "kcmp": Refused(312, 272),
    "kexec_file_load": Refused(320, 294),
    "kexec_load": Refused(246, 104),
    "keyctl": Refused(250, 219),
    "lookup_dcookie": Refused(212, 18),
    "mbind": Refused(237, 235),
    "memfd_secret": Refused(447, 447),
    "migrate_pages": Refused(256, 238),
    "modify_ldt": Refused(154, None),
    "mount": Refused(165, 40),
    "mount_setattr": Refused(442, 442),
    "move_mount": Refused(429, 429),
    "move_pages": Refused(279, 239),
    "name_to_handle_at": Refused(303, 264),
    "nfsservctl": Refused(180, 42),
    "open_by_handle_at": Refused(304, 265),
    "open_tree": Refused(428, 428),
    "perf_event_open": Refused(298, 241),
    "pidfd_getfd": Refused(438, 438),
    "pivot_root": Refused(155, 41),
    "process_madvise": Refused(440, 440),
    "process_vm_readv": Refused(310, 270),
    "process_vm_writev": Refused(311, 271),
    "ptrace": Refused(101, 117),
    "putpmsg": Refused(182, None),
    "query_module": Refused(178, None),
    "quotactl": Refused(179, 60),
    "quotactl_fd": Refused(443, 443),
    "reboot": Refused(169, 142),
    "request_key": Refused(249, 218),
    "security": Refused(185, None),
    "set_mempolicy": Refused(238, 237),
    "set_mempolicy_home_node": Refused(450, 450),
    "setdomainname": Refused(171, 162),
    "sethostname": Refused(170, 161),
    "setns": Refused(308, 268),
    "settimeofday": Refused(164, 170),
    "swapoff": Refused(168, 225),
    "swapon": Refused(167, 224),
    "sysfs": Refused(139, None),
    "syslog": Refused(103, 116),
    "tuxcall": Refused(184, None),
    "umount2": Refused(166, 39),
    "unshare": Refused(272, 97),
    "uprobe": Refused(336, None),
    "uretprobe": Refused(335, None),
    "uselib": Refused(134, None),
    "userfaultfd": Refused(323, 282),
    "ustat": Refused(136, None),
    "vhangup": Refused(153, 58),
    "vserver": Refused(236, None),
}

CONDITIONAL: Final[dict[str, Refused]] = {
    "clone": Refused(56, 220),
    "clone3": Refused(435, 435),
    "personality": Refused(135, 92),
    "socket": Refused(41, 198),
}
"""Calls that depend on their arguments: no new namespaces, sockets of the family AF_UNIX only, and `clone3`, whose
arguments no filter can read, is `ENOSYS`, so that the C library falls back to `clone`."""

NEWEST: Final = 456
"""The last number that was looked at when this table was made; calls after it are `ENOSYS`."""

ALLOWED: Final = tuple(
    """
    accept accept4 access alarm arch_prctl bind brk cachestat capget capset chdir chmod chown clock_getres
    clock_gettime clock_nanosleep close close_range connect copy_file_range creat dup dup2 dup3 epoll_create
    epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve
    execveat exit exit_group faccessat faccessat2 fadvise64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2
    fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstatfs fsync
    ftruncate futex futex_requeue futex_wait futex_waitv futex_wake futimesat get_robust_list get_thread_area getcpu
    getcwd getdents getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid getpgrp getpid getppid
    getpriority getrandom getresgid getresuid getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday
    getuid getxattr inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents
    io_pgetevents io_setup io_submit ioctl ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset
    landlock_restrict_self lchown lgetxattr link linkat listen listxattr llistxattr lremovexattr lseek lsetxattr
    lstat madvise map_shadow_stack membarrier memfd_create mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall
    mmap mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink mremap msgctl msgget msgrcv
    msgsnd msync munlock munlockall munmap nanosleep newfstatat open openat openat2 pause pidfd_open
    pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll prctl pread64 preadv preadv2
    prlimit64 process_mrelease pselect6 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recvfrom
    recvmmsg recvmsg remap_file_pages removexattr rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction
    rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo
    sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
    sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp
    select semctl semget semop semtimedop sendfile sendmmsg sendmsg sendto set_robust_list set_thread_area
    set_tid_address setfsgid setfsuid setgid setgroups setitimer setpgid setpriority setregid setresgid setresuid
    setreuid setrlimit setsid setsockopt setuid setxattr shmat shmctl shmdt shmget shutdown sigaltstack signalfd
    signalfd4 socketpair splice stat statfs statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill
    time timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime
    timerfd_settime times tkill truncate umask uname unlink unlinkat utime utimensat utimes vfork vmsplice wait4
    waitid write writev
    """.split()  # noqa: SIM905 - three hundred quoted names would hide the few that matter
)
"""By name. `mknod` makes FIFOs; devices need a capability, and no place in a sandbox has any."""


ARCHITECTURES: Final = ("SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64")
"""No 32-bit ones: `socketcall` makes sockets of every family there, and no filter can read its arguments."""


def docker_profile() -> dict[str, Any]:
    """The policy in the format of Docker's `seccomp=` option."""
    masked = {"index": 0, "value": CLONE_NEW_FLAGS, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
    unix_only = {"index": 0, "value": AF_UNIX, "op": "SCMP_CMP_EQ"}
    rules: list[dict[str, Any]] = [
        {"names": list(ALLOWED), "action": "SCMP_ACT_ALLOW"},
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [masked]},
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS},
        {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [unix_only]},
    ]
    for value in PERSONALITIES:
        args = [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"}]
        rules.append({"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": args})
    architectures: list[dict[str, Any]] = [{"architecture": name, "subArchitectures": []} for name in ARCHITECTURES]
    return {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": EPERM, "archMap": architectures, "syscalls": rules}


def profile_text() -> str:
    """`worker-image/seccomp.json`, which Kubernetes and auditors read."""
    return json.dumps(docker_profile(), indent=1) + "\n"


if __name__ == "__main__":
    sys.stdout.write(profile_text())
