"""From inside a worker: what a tenant tries, and how far it goes. Each test is an attack (docs: threat model)."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.sandbox import MIB
from support.cells import claimed
from support.runtimes import agent_pid, bench_of, eventually, is_process

FAMILIES = """
import socket
def families():
    made = set()
    for family in range(46):
        for kind in range(1, 7):
            try:
                socket.socket(family, kind).close()
            except OSError:
                continue
            made.add(family)
    return sorted(made)
"""
"""The families of which some socket can be made."""


async def test_there_is_no_network(cell):
    """No family but Unix sockets, no interface but the loopback one, which is down or empty."""
    outside: dict[str, Any] = {}
    exec(FAMILIES, outside)
    assert {socket.AF_INET, socket.AF_NETLINK} < set(outside["families"]()), "this probe finds nothing"
    cell.shows(FAMILIES)
    assert cell.shows("families()") == f"[{int(socket.AF_UNIX)}]"
    assert set(
        eval(cell.shows("import os; os.listdir('/sys/class/net') if os.path.isdir('/sys/class/net') else []"))
    ) <= {"lo"}
    assert cell.shows("open('/proc/net/route').read().count('\\n')") == "1"


SOCKETCALL = """
import ctypes, struct
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
def low(content):
    place = libc.mmap(None, 4096, 7, 0x62, -1, 0)
    ctypes.memmove(place, content, len(content))
    return place
def socketcall(family):
    arguments = low(struct.pack('<3I', family, 2, 0))
    # push rbx; mov eax, socketcall; mov ebx, SYS_SOCKET; mov ecx, arguments; int 0x80; pop rbx; ret
    code = b'\\x53\\xb8\\x66\\0\\0\\0\\xbb\\1\\0\\0\\0\\xb9' + struct.pack('<I', arguments) + b'\\xcd\\x80\\x5b\\xc3'
    return ctypes.CFUNCTYPE(ctypes.c_int)(low(code))()
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the code is that of x86_64")
async def test_a_32_bit_call_is_death(cell):
    """Their numbers mean other calls, and some of them hide their arguments from every filter."""
    cell.shows(SOCKETCALL)
    cell.link.request("eval", {"code": "socketcall(2)"})
    assert cell.link.is_closed(10)


async def test_nothing_outside_its_folders_can_be_written(cell):
    """The root is read-only, the folder with the socket belongs to somebody else."""
    places = [
        "/",
        "/usr",
        "/usr/lib",
        "/etc",
        "/opt/bascule",
        "/opt/bascule/replworker",
        "/run",
        "/run/bascule",
        "/proc/sys/kernel",
        "/dev",
    ]
    code = """
def can_write(place):
    try:
        open(place + '/planted', 'w').write('x')
    except OSError as error:
        return type(error).__name__
    return True
"""
    cell.shows(code)
    for place in places:
        assert cell.shows(f"can_write({place!r})") != "True", place
    for place in ("/work", "/tmp", "/dev/shm"):
        assert cell.shows(f"can_write({place!r})") == "True", place
    assert "Error" in cell.shows("import os; os.unlink('/run/bascule/worker.sock')")
    assert "Error" in cell.shows("os.chmod('/run/bascule', 0o777)")
    assert "Error" in cell.shows("open('/proc/sys/kernel/core_pattern', 'w')")
    walk = "[f'{r}/{n}' for r, _, names in os.walk('/proc/sys') for n in names if os.access(f'{r}/{n}', os.W_OK)]"
    assert cell.shows(walk) == "[]"


async def test_it_sees_its_own_processes_only(cell):
    """The sandbox's first process, the agent, the interpreter."""
    names = cell.shows(
        "import os; [open(f'/proc/{p}/comm').read().strip() for p in os.listdir('/proc') if p.isdigit()]"
    )
    found = eval(names)
    assert len(found) <= 3
    assert set(found) <= {"docker-init", "bwrap", "python3", "python3.11", "python3.12", "python3.13", "tini"}


async def test_it_has_no_rights(cell):
    """No capability in any set, no way to new ones, a filter on system calls."""
    lines = eval(cell.shows("open('/proc/self/status').read()")).splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert all(int(status[name], 16) == 0 for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert int(status["Uid"].split()[0]) != 0


@pytest.mark.parametrize(
    ("name", "number", "arguments"),
    [
        ("unshare(NEWUSER)", 272, "0x10000000"),
        ("unshare(NEWNS)", 272, "0x20000"),
        ("mount", 165, "0, 0, 0, 0, 0"),
        ("ptrace(TRACEME)", 101, "0, 0, 0, 0"),
        ("bpf", 321, "0, 0, 0"),
        ("userfaultfd", 323, "0"),
        ("io_uring_setup", 425, "1, 0"),
        ("keyctl", 250, "0, 0"),
        ("perf_event_open", 298, "0, 0, 0, 0, 0"),
        ("setns", 308, "0, 0"),
        ("open_by_handle_at", 304, "0, 0, 0"),
        ("process_vm_readv", 310, "1, 0, 0, 0, 0, 0"),
        ("init_module", 175, "0, 0, 0"),
        ("clone(NEWUSER)", 56, "0x10000011, 0, 0, 0, 0"),
    ],
)
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are those of x86_64")
async def test_system_calls_that_are_refused(cell, name, number, arguments):
    """EPERM or ENOSYS, whatever the kernel would have said."""
    cell.shows("import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)")
    code = f"libc.syscall({number}, {arguments}), ctypes.get_errno()"
    assert cell.shows(code) in ("(-1, 1)", "(-1, 38)"), name


async def test_a_fork_bomb_is_bounded_and_the_neighbour_lives(cell):
    """Its own limit of processes, and nobody else's."""
    neighbour = await cell.neighbour()
    cell.shows("""
import os, time
n = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(30); os._exit(0)
        n += 1
except OSError: pass
""")
    assert 10 <= int(cell.shows("n")) <= 64
    assert neighbour.shows("import subprocess; subprocess.run(['true']).returncode") == "0"


async def test_a_memory_bomb_kills_this_worker_only(cell):
    """And the runtime knows that it was memory."""
    neighbour = await cell.neighbour()
    cell.link.request("eval", {"code": "x = []\nwhile True: x.append(bytearray(8_000_000))"})
    assert cell.link.is_closed(30)
    for _ in range(500):
        fate = await cell.runtime.fate(cell.address)
        if not fate.alive:
            break
        await asyncio.sleep(0.01)
    assert (fate.alive, fate.memory_killed) == (False, True)
    assert neighbour.shows("1 + 1") == "2"


async def test_memory_of_files_counts(cell):
    """What is written to a tmpfs is bounded by its size, and the session goes on."""
    shown = cell.shows("open('/work/big', 'wb').write(bytes(100_000_000))")
    assert shown.startswith("OSError"), shown
    assert "File too large" in shown or "No space" in shown
    cell.shows("import os; os.unlink('/work/big')")
    assert cell.shows("for n in range(9):\n  open(f'/tmp/{n}', 'wb').write(bytes(4_000_000))").startswith("OSError")


@pytest.mark.docker
async def test_empty_files_are_bounded():
    """By the number of inodes."""
    async with bench_of("docker") as bench:
        cell = await claimed(bench, bench.make())
        shown = cell.shows("for n in range(20_000): open(f'/work/{n}', 'w').close()")
        assert shown is not None and "No space" in shown


async def test_descriptors_are_bounded(cell):
    """A limit for each process."""
    shown = cell.shows("import os\nkept = [os.dup(0) for _ in range(5000)]")
    assert "Too many open files" in shown


async def test_the_hosts_secrets_are_out_of_reach(cell, monkeypatch):
    """No environment of the server's, no file of the host's."""
    names = eval(cell.shows("import os; sorted(os.environ)"))
    allowed = {"HOME", "LANG", "PATH", "TERM", "PWD", "HOSTNAME", "LC_CTYPE"}
    assert set(names) <= allowed
    for place in (
        "/var/run/docker.sock",
        "/root",
        "/home",
        "/etc/shadow",
        "/var/lib/bascule",
    ):
        shown = cell.shows(f"import os; os.listdir({place!r}) if os.path.isdir({place!r}) else open({place!r}).read()")
        assert "Error" in shown or shown in ("[]", "''"), (place, shown)
    # All of the sandbox's processes belong to the tenant: nothing of the server's may have been left in any.
    cell.shows("import glob; found = ''.join(open(path).read() for path in glob.glob('/proc/[0-9]*/environ'))")
    found = eval(cell.shows("found"))
    assert {entry.partition("=")[0] for entry in found.split("\0") if entry} <= allowed, found
    root = "try: root = os.listdir('/proc/1/root')\nexcept OSError: root = []\nset(root) <= set(os.listdir('/'))"
    assert cell.shows(root) == "True"


async def test_every_thread_is_filtered(cell):
    """As the host sees it: also those of the launcher, of the agent, and those that a tenant starts."""
    cell.shows("import threading; waits = threading.Event(); threading.Thread(target=waits.wait, daemon=True).start()")
    agent = agent_pid(cell.address)
    (interpreter,) = Path(f"/proc/{agent}/task/{agent}/children").read_text().split()
    threads = [path for pid in (agent, interpreter) for path in Path(f"/proc/{pid}/task").iterdir()]
    assert len(threads) >= 3
    for path in threads:
        lines = (path / "status").read_text().splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1"), path
    cell.shows("waits.set()")


async def test_nothing_of_the_servers_is_open_inside(cell):
    """The agent has what it opened itself, and what nobody reads: no file, no socket of the server's."""
    agent = agent_pid(cell.address)
    mine = {os.readlink(path) for path in Path("/proc/self/fd").iterdir() if path.exists()}
    found = [os.readlink(path) for path in Path(f"/proc/{agent}/fd").iterdir()]
    assert len(found) > 3
    assert [name for name in found if name in mine and name.startswith(("socket:", "pipe:"))] == []
    files = {name for name in found if name.startswith("/") and not name.startswith("/memfd:")}
    assert files <= {"/dev/null"}


async def test_ended_children_do_not_pile_up(cell):
    """Those whose parent has gone are collected by the sandbox, or they would fill its limit of processes."""
    cell.shows("""
import os, time
for _ in range(150):
    child = os.fork()
    if child == 0:
        if os.fork() == 0: os._exit(0)
        os._exit(0)
    os.waitpid(child, 0)
""")
    code = "[p for p in os.listdir('/proc') if p.isdigit() and ') Z ' in open(f'/proc/{p}/stat').read()]"

    async def holds() -> bool:
        return bool(cell.shows(code) == "[]")

    assert await eventually(holds)


async def test_devices_are_the_harmless_ones(cell):
    """No disk, no memory, no terminal of the host's; none can be made, a FIFO can."""
    found = set(eval(cell.shows("import os, stat; os.listdir('/dev')")))
    links = {"fd", "stdin", "stdout", "stderr", "core", "ptmx"}
    assert found - links <= {"null", "zero", "full", "random", "urandom", "tty", "pts", "shm", "mqueue", "console"}
    assert cell.shows("os.mknod('/work/d', 0o600 | stat.S_IFCHR, os.makedev(1, 1))").startswith("PermissionError")
    assert cell.shows("os.mkfifo('/work/fifo')") is None


async def test_limits_that_the_kernel_holds_for_each_process(cell):
    """Hard ones, so that a tenant can't raise them; no core files, no message queues of the kernel's."""
    names = ("CORE", "NOFILE", "FSIZE", "MEMLOCK", "MSGQUEUE")
    code = f"import resource; [resource.getrlimit(getattr(resource, f'RLIMIT_{{name}}'))[1] for name in {names}]"
    shown = cell.shows(code)
    assert eval(shown) == [0, 256, 64 * MIB, MIB, 0]


async def test_the_kernel_takes_workers_before_the_server(cell):
    """Where the whole machine's memory runs out; the interpreter's child of a snapshot before both."""
    mine = int(Path("/proc/self/oom_score_adj").read_text())
    assert int(Path(f"/proc/{agent_pid(cell.address)}/oom_score_adj").read_text()) > mine


async def test_who_traces_himself_leaves_no_ghost(cell):
    """Of a worker that asked to be traced and then stopped, its runtime would see an end that was none."""
    agent = agent_pid(cell.address)
    cell.shows("import ctypes, os, signal; ctypes.CDLL(None).ptrace(0, 0, 0, 0)")
    cell.link.request("eval", {"code": "os.kill(os.getpid(), signal.SIGSTOP)"})
    await cell.runtime.stop(cell.address.worker)
    assert await eventually(lambda: not is_process(agent))


async def test_who_takes_over_the_agent_has_this_worker_only(cell):
    """It runs as the tenant does, and is trusted no more: its end is this worker's, and nothing else's."""
    neighbour = await cell.neighbour()
    cell.link.request("eval", {"code": "import os, signal; os.kill(os.getppid(), signal.SIGKILL)"})
    assert cell.link.is_closed(10)
    assert neighbour.shows("1 + 1") == "2"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give each worker a user")
async def test_each_worker_is_another_user(cell):
    """And none can reach the other's folder."""
    neighbour = await cell.neighbour()
    assert cell.address.uid != neighbour.address.uid
    for each in (cell, neighbour):
        lines = Path(f"/proc/{agent_pid(each.address)}/status").read_text().splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        assert set(status["Uid"].split()) == set(status["Gid"].split()) == {str(each.address.uid)}
        assert set(status["Groups"].split()) <= {str(each.address.uid)}
    folder = cell.bench.folders.root / neighbour.address.worker
    assert folder.stat().st_mode & 0o007 == 0


async def test_limits_are_those_of_the_spec(bench):
    """Memory to the megabyte, so that operators can count on it."""
    small = await claimed(bench, bench.make(), memory_bytes=96 * MIB, pids_max=20)
    small.link.request("eval", {"code": "x = bytearray(120 * 1024 * 1024)\nfor i in range(0, len(x), 4096): x[i] = 1"})
    assert small.link.is_closed(20)
    large = await claimed(bench, bench.make(), memory_bytes=256 * MIB)
    assert large.shows("x = bytearray(120 * 1024 * 1024); len(x)") == str(120 * MIB)
