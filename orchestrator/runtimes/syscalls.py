"""Which system calls a worker may make: one policy, as Docker's profile by name and as numbers for bubblewrap's filter.

An allow-list by name where the runtime takes names. bubblewrap takes a BPF program, so there the refused calls are
listed by number, and so is everything newer than this table. The reasons are in the threat model: a shared kernel is
the boundary, and these are the calls by which it was crossed, or that reach past the sandbox's namespaces.
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
    "acct": Refused(163, 89),
    "add_key": Refused(248, 217),
    "adjtimex": Refused(159, 171),
    "bpf": Refused(321, 280),
    "chroot": Refused(161, 51),
    "clock_adjtime": Refused(305, 266),
    "clock_settime": Refused(227, 112),
    "delete_module": Refused(176, 106),
    "fanotify_init": Refused(300, 262),
    "finit_module": Refused(313, 273),
    "fsconfig": Refused(431, 431),
    "fsmount": Refused(432, 432),
    "fsopen": Refused(430, 430),
    "fspick": Refused(433, 433),
    "get_mempolicy": Refused(239, 236),
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
    "process_vm_readv": Refused(310, 270),
    "process_vm_writev": Refused(311, 271),
    "ptrace": Refused(101, 117),
    "quotactl": Refused(179, 60),
    "reboot": Refused(169, 142),
    "request_key": Refused(249, 218),
    "set_mempolicy": Refused(238, 237),
    "setdomainname": Refused(171, 162),
    "sethostname": Refused(170, 161),
    "setns": Refused(308, 268),
    "settimeofday": Refused(164, 170),
    "swapoff": Refused(168, 225),
    "swapon": Refused(167, 224),
    "syslog": Refused(103, 116),
    "umount2": Refused(166, 39),
    "unshare": Refused(272, 97),
    "userfaultfd": Refused(323, 282),
    "vhangup": Refused(153, 58),
}

CONDITIONAL: Final[dict[str, Refused]] = {
    "clone": Refused(56, 220),
    "clone3": Refused(435, 435),
    "personality": Refused(135, 92),
    "socket": Refused(41, 198),
}
"""Calls that depend on their arguments: no new namespaces, sockets of the family AF_UNIX only, and `clone3`, whose
arguments no filter can read, is `ENOSYS`, so that the C library falls back to `clone`."""

NEWEST: Final = 462
"""The last number that was looked at when this table was made; calls after it are `ENOSYS`."""

ALLOWED: Final = tuple(
    """
    _llseek accept accept4 access alarm arch_prctl arm_fadvise64_64 arm_sync_file_range bind brk breakpoint cacheflush
    cachestat capget capset chdir chmod chown chown32 clock_getres clock_getres_time64 clock_gettime clock_gettime64
    clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3 epoll_create
    epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve
    execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat
    fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr
    fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait
    futex_waitv futex_wake futimesat get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid getegid32
    geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid
    getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname getsockopt
    gettid gettimeofday getuid getuid32 getxattr inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel
    io_destroy io_getevents io_pgetevents io_setup io_submit ioctl ioprio_get ioprio_set ipc kill landlock_add_rule
    landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listxattr llistxattr
    lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack membarrier memfd_create mincore mkdir mkdirat
    mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink
    mremap msgctl msgget msgrcv msgsnd msync munlock munlockall munmap nanosleep newfstatat open openat openat2 pause
    pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64
    preadv preadv2 prlimit64 process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead
    readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr rename
    renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
    rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min
    sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity
    sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop
    semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list set_thread_area set_tid_address
    set_tls setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority
    setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt
    setuid setuid32 setxattr shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn
    socketcall socketpair splice stat stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range syncfs sysinfo
    tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime
    timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill
    truncate truncate64 ugetrlimit umask uname unlink unlinkat utime utimensat utimensat_time64 utimes vfork vmsplice
    wait4 waitid waitpid write writev
    """.split()  # noqa: SIM905 - three hundred quoted names would hide the few that matter
)
"""By name, for every architecture that Docker's profile knows."""


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
    architectures = [
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
    ]
    return {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": EPERM, "archMap": architectures, "syscalls": rules}


def profile_text() -> str:
    """`worker-image/seccomp.json`, which Kubernetes and auditors read."""
    return json.dumps(docker_profile(), indent=1) + "\n"


if __name__ == "__main__":
    sys.stdout.write(profile_text())
