"""The filter's program, run by a small BPF machine: what the kernel would answer to each call."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.runtimes.seccomp_filter import UnknownMachineError, filter_program
from orchestrator.runtimes.syscalls import (
    AF_UNIX,
    ALLOWED,
    CONDITIONAL,
    EAFNOSUPPORT,
    ENOSYS,
    EPERM,
    NEWEST,
    REFUSED,
    Refused,
)

SYSTEM_CALLS = Path(__file__).with_name("system_calls.txt")
MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
I386 = 0x40000003
X32_BIT = 0x40000000
INSTRUCTIONS_MAX = 4096
"""The kernel takes no longer program (BPF_MAXINSNS)."""

ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000

CLONE_NEW = {
    "time": 0x80, "mount": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000, "user": 0x10000000,
    "pid": 0x20000000, "net": 0x40000000,
}  # fmt: skip
FORK, THREAD = 0x1200011, 0x3D0F00
"""What the C library passes to `clone`."""

ORDINARY = {"read": (0, 63), "close": (3, 57), "mmap": (9, 222), "execve": (59, 221), "getppid": (110, 173)}


@dataclass(frozen=True)
class Instruction:
    """One `struct sock_filter`."""

    code: int
    when_true: int
    when_false: int
    value: int


def instructions(machine: str) -> list[Instruction]:
    """The program, taken apart."""
    return [Instruction(*words) for words in struct.iter_unpack("=HBBI", filter_program(machine))]


def answer(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """What the program returns for a call, by the rules of seccomp(2)."""
    architecture = MACHINES[machine] if architecture is None else architecture
    padded = (*arguments, *(0,) * (6 - len(arguments)))
    data = struct.pack("<IIQ6Q", number, architecture, 0, *padded)
    program, position, accumulator = instructions(machine), 0, 0
    while True:
        step = program[position]
        position += 1
        if step.code == 0x06:
            return step.value
        if step.code == 0x20:
            accumulator = int(struct.unpack_from("<I", data, step.value)[0])
            continue
        holds = {
            0x15: accumulator == step.value,
            0x25: accumulator > step.value,
            0x45: bool(accumulator & step.value),
        }[step.code]
        position += step.when_true if holds else step.when_false


def number_of(entry: Refused, machine: str) -> int:
    """Of a call that this machine has."""
    number = entry.x86_64 if machine == "x86_64" else entry.aarch64
    assert number is not None
    return number


def conditional(name: str, machine: str, *arguments: int) -> int:
    """The answer to one of the calls that depend on their arguments."""
    return answer(machine, number_of(CONDITIONAL[name], machine), *arguments)


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    """Each processor that there is a table for."""
    name: str = request.param
    return name


@pytest.mark.parametrize("name", REFUSED)
def test_every_refused_call_is_refused(name: str, machine: str) -> None:
    """One by one, so that the one that is open is named."""
    entry = REFUSED[name]
    if machine == "aarch64" and entry.aarch64 is None:
        return
    assert answer(machine, number_of(entry, machine)) == ERRNO | EPERM


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_calls_are_allowed(name: str, machine: str) -> None:
    """The filter is a list of what is refused: all else goes on."""
    assert answer(machine, ORDINARY[name][machine == "aarch64"], 7) == ALLOW


@pytest.mark.parametrize("namespace", CLONE_NEW)
@pytest.mark.parametrize("beside", [0, FORK])
def test_clone_makes_no_namespace(namespace: str, beside: int, machine: str) -> None:
    """Whatever other flags come with it."""
    assert conditional("clone", machine, CLONE_NEW[namespace] | beside) == ERRNO | EPERM


@pytest.mark.parametrize("flags", [FORK, THREAD])
def test_clone_makes_processes_and_threads(flags: int, machine: str) -> None:
    """Snapshots fork, and tenants may use threads."""
    assert conditional("clone", machine, flags) == ALLOW


def test_clone3_is_missing(machine: str) -> None:
    """So that the C library takes `clone`, whose flags can be read."""
    assert conditional("clone3", machine) == ERRNO | ENOSYS


def test_only_unix_sockets_can_be_made(machine: str) -> None:
    """INET, INET6, NETLINK, PACKET, ALG and VSOCK are not."""
    assert conditional("socket", machine, AF_UNIX) == ALLOW
    for family in (0, 2, 10, 16, 17, 38, 40):
        assert conditional("socket", machine, family) == ERRNO | EAFNOSUPPORT


def test_personality_can_be_asked_and_not_changed(machine: str) -> None:
    """No switching off of address randomisation."""
    assert conditional("personality", machine, 0) == ALLOW
    assert conditional("personality", machine, 0xFFFFFFFF) == ALLOW
    for persona in (0x0040000, 0x0008, 0xFFFFFFFE):
        assert conditional("personality", machine, persona) == ERRNO | EPERM


def test_calls_that_are_newer_than_the_table_are_missing(machine: str) -> None:
    """Nobody looked at them."""
    assert answer(machine, NEWEST) == ALLOW
    assert answer(machine, NEWEST + 1) == ERRNO | ENOSYS
    assert answer(machine, 0xFFFFFFFF) == ERRNO | ENOSYS


@pytest.mark.parametrize("number", [0, 101, 59])
def test_x32_calls_are_missing(number: int) -> None:
    """The same calls by other numbers: none, not even those that are allowed."""
    assert answer("x86_64", X32_BIT | number) == ERRNO | ENOSYS


def test_another_architecture_is_death(machine: str) -> None:
    """The numbers of 32-bit calls mean others."""
    others = {I386, *MACHINES.values()} - {MACHINES[machine]}
    assert {answer(machine, 0, architecture=other) for other in others} == {KILL}


def test_the_program_is_one_the_kernel_takes(machine: str) -> None:
    """Jumps stay inside, the end is a return, and it is not too long."""
    program = instructions(machine)
    assert len(program) <= INSTRUCTIONS_MAX
    assert program[-1].code == 0x06
    for position, step in enumerate(program):
        assert position + 1 + max(step.when_true, step.when_false) < len(program) or step.code == 0x06


def test_an_unknown_machine_is_told() -> None:
    """There is no filter that allows all instead."""
    with pytest.raises(UnknownMachineError, match="riscv64"):
        filter_program("riscv64")


def calls(machine: str) -> Iterator[tuple[str, int]]:
    """Every call that the kernel has for a machine, up to the newest that was looked at."""
    for line in SYSTEM_CALLS.read_text().splitlines()[1:]:
        name, *numbers = line.split()
        number = numbers[list(MACHINES).index(machine)]
        if number != "-":
            yield name, int(number)


def test_the_filter_and_the_profile_are_one_policy(machine: str) -> None:
    """A call gets through by its number when its name is on the list, and only then."""
    let_through = {name for name, number in calls(machine) if answer(machine, number) == ALLOW}
    assert let_through - CONDITIONAL.keys() == {name for name, _ in calls(machine)} & set(ALLOWED)


def test_every_allowed_name_is_a_call() -> None:
    """A name that no kernel knows would be dropped by the engine in silence."""
    assert set(ALLOWED) <= {name for machine in MACHINES for name, _ in calls(machine)}
