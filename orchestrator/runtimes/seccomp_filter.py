"""The policy of `syscalls` as a classic BPF program, for bubblewrap's `--seccomp` (seccomp(2), "Filters").

Written out by hand because it is sixty instructions, and because a library for it is missing on many machines.
"""

from __future__ import annotations

import platform
import struct
from typing import Final

from orchestrator.runtimes.syscalls import (
    AF_UNIX,
    CLONE_NEW_FLAGS,
    CONDITIONAL,
    EAFNOSUPPORT,
    ENOSYS,
    EPERM,
    NEWEST,
    PERSONALITIES,
    REFUSED,
    Refused,
)  # fmt: skip

_INSTRUCTION: Final = struct.Struct("=HBBI")
_LOAD, _JUMP_EQUAL, _JUMP_GREATER, _JUMP_SET, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENT = 0, 4, 16
"""Offsets in `struct seccomp_data`; of the first argument, its low half on a little-endian machine."""

_ALLOW: Final = 0x7FFF0000
_KILL_PROCESS: Final = 0x80000000
_ERRNO: Final = 0x00050000
MACHINES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""Those that there is a table for, with their numbers (`AUDIT_ARCH_…`)."""


class UnknownMachineError(Exception):
    """There is no table for this processor."""


def _op(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return _INSTRUCTION.pack(code, yes, no, value)


def _return_errno(number: int) -> bytes:
    return _op(_RETURN, _ERRNO | number)


def _when_number(number: int, then: bytes) -> bytes:
    """`then`, which ends with a return, only for this call; the call's number is loaded again after it."""
    return _op(_JUMP_EQUAL, number, 0, len(then) // _INSTRUCTION.size) + then


def _number_of(entry: Refused, machine: str) -> int | None:
    return entry.x86_64 if machine == "x86_64" else entry.aarch64


def _first_argument(test: bytes, refused: int) -> bytes:
    """Allowed when the test jumps by one, else refused."""
    return _op(_LOAD, _ARGUMENT) + test + _return_errno(refused) + _op(_RETURN, _ALLOW)


def _rules(machine: str) -> bytes:
    conditional = {name: _number_of(entry, machine) or 0 for name, entry in CONDITIONAL.items()}
    default, asking = PERSONALITIES
    personality = (
        _op(_LOAD, _ARGUMENT) + _op(_JUMP_EQUAL, default, 2, 0) + _op(_JUMP_EQUAL, asking, 1, 0)
        + _return_errno(EPERM) + _op(_RETURN, _ALLOW)
    )  # fmt: skip
    return (
        _when_number(conditional["clone3"], _return_errno(ENOSYS))
        + _when_number(conditional["socket"], _first_argument(_op(_JUMP_EQUAL, AF_UNIX, 1, 0), EAFNOSUPPORT))
        + _when_number(conditional["clone"], _first_argument(_op(_JUMP_SET, CLONE_NEW_FLAGS, 0, 1), EPERM))
        + _when_number(conditional["personality"], personality)
    )


def filter_program(machine: str | None = None) -> bytes:
    """The program for a machine (`platform.machine()` by default); raises `UnknownMachineError`."""
    machine = machine or platform.machine()
    if machine not in MACHINES:
        raise UnknownMachineError(f"there is no system call filter for {machine}")
    numbers = [number for entry in REFUSED.values() if (number := _number_of(entry, machine)) is not None]
    head = (
        _op(_LOAD, _ARCHITECTURE)
        + _op(_JUMP_EQUAL, MACHINES[machine], 1, 0)
        + _op(_RETURN, _KILL_PROCESS)
        + _op(_LOAD, _NUMBER)
        # Newer calls, and the x32 ones, whose numbers have a high bit set.
        + _op(_JUMP_GREATER, NEWEST, 0, 1)
        + _return_errno(ENOSYS)
    )
    refused = b"".join(_when_number(number, _return_errno(EPERM)) for number in numbers)
    return head + refused + _rules(machine) + _op(_RETURN, _ALLOW)
