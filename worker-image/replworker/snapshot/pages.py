"""What the kernel knows of this process's memory: pages that nobody else maps, and who could map them.

`/proc/self/pagemap` tells of each page whether one process alone maps it (Linux 4.2, Documentation/admin-guide/mm/
pagemap.rst). After a fork the copy shares every page, until one of the two writes to it: a page that is still shared
has what it had then. That holds as long as nobody but that copy can share it, and so this module also tells whether
anybody else is there. Everything here is readable without any right, for the process itself.
"""

from __future__ import annotations

import os
import sys
from _thread import get_native_id
from collections.abc import Iterable

from replwire.hints import Final

PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
ENTRY_BYTES: Final = 8
SHARED: Final = b"\x80"
"""Top byte of the entry of a page that is present (bit 63), neither swapped out (62) nor of a file or of shared memory
(61), and mapped by more than one process (56 is not set)."""

OTHER_THREADS_MAX: Final = 16
"""To ask after more of them costs more than it saves."""

_QUIET: Final = ("State:", "voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:")
_STAT_CHARS_MAX: Final = 512
_STARTTIME: Final = 19
"""Field of proc_pid_stat(5), counted from the state on."""


def is_supported() -> bool:
    """Whether the kernel tells what we ask it, in the byte order that we read."""
    return sys.byteorder == "little" and os.access("/proc/self/pagemap", os.R_OK)


def page_states(pid: int, ranges: Iterable[tuple[int, int]]) -> list[bytes]:
    """For each (address, size in bytes) the entries of its pages in that process, in order. Raises `OSError`."""
    fd = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return [_entries(fd, address // PAGE_BYTES, _end(address + size)) for address, size in ranges]
    finally:
        os.close(fd)


def _entries(fd: int, first: int, end: int) -> bytes:
    return os.pread(fd, (end - first) * ENTRY_BYTES, first * ENTRY_BYTES)


def _end(address: int) -> int:
    return -(-address // PAGE_BYTES)


def shared_blocks(address: int, size: int, entries: bytes, block_bytes: int) -> tuple[bool, ...]:
    """Of each block of a range, whether all its pages are shared; `entries` as `page_states` gave them."""
    states = entries[ENTRY_BYTES - 1 :: ENTRY_BYTES]
    first = address // PAGE_BYTES
    found = []
    for start in range(address, address + size, block_bytes):
        begin, end = start // PAGE_BYTES - first, _end(min(start + block_bytes, address + size)) - first
        found.append(states[begin:end] == SHARED * (end - begin))
    return tuple(found)


def is_inside_shared(address: int, size: int, entries: bytes) -> bool:
    """Whether all pages are shared that belong to this range alone; those at its ends may hold other things too."""
    first = address // PAGE_BYTES
    begin, end = _end(address) - first, (address + size) // PAGE_BYTES - first
    return entries[ENTRY_BYTES - 1 :: ENTRY_BYTES][begin:end] == SHARED * (end - begin)


def is_alone(known: set[int]) -> bool:
    """Whether no process can be seen but these, and dead ones. Outside a process namespace of its own: never."""
    return all(_is_dead(stat) for stat in _others(known))


def was_alone(known: set[int]) -> bool:
    """The same of the moment in which this process was forked, as far as those who were there then still are."""
    born = _born(_stat("self"))
    return all(_is_dead(stat) or _born(stat) >= born for stat in _others(known))


def _others(known: set[int]) -> Iterable[list[str]]:
    return (_stat(name) for name in os.listdir("/proc") if name.isdigit() and int(name) not in known)


def _is_dead(stat: list[str]) -> bool:
    return stat[:1] in ([], ["Z"], ["X"])


def _born(stat: list[str]) -> int:
    """When it was forked, in ticks of the clock; the last moment of all when it is gone."""
    return int(stat[_STARTTIME]) if stat else sys.maxsize


def ancestors() -> set[int]:
    """This process and those that it comes from, as far as they can be seen."""
    found, pid = {os.getpid()}, os.getppid()
    while pid and pid not in found:
        found.add(pid)
        pid = int((_stat(str(pid)) or ["", "0"])[1])
    return found


def _stat(pid: str) -> list[str]:
    """State, parent and so on (proc_pid_stat(5)); empty when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            return file.read(_STAT_CHARS_MAX).rpartition(b")")[2].decode("ascii").split()
    except OSError:
        return []


def other_threads(pid: int) -> list[tuple[str, ...]] | None:
    """State and context switches of each thread of `pid` but its first: two equal answers, all of them asleep, mean
    that none of them ran between. None when one is awake, or there are too many."""
    names = [name for name in os.listdir(f"/proc/{pid}/task") if name != str(pid)]
    if len(names) > OTHER_THREADS_MAX:
        return None
    found = [(name, *_thread_state(pid, name)) for name in sorted(names)]
    return found if all(state[1].split()[1] == "S" for state in found) else None


def _thread_state(pid: int, name: str) -> list[str]:
    with open(f"/proc/{pid}/task/{name}/status", encoding="ascii", errors="replace") as file:
        return [line for line in file if line.startswith(_QUIET)]


def is_first_thread() -> bool:
    """Whether this is the thread that `other_threads` leaves out."""
    return get_native_id() == os.getpid()


def shared_memory() -> str:
    """The first mapping of this process that a fork shares instead of copying and that may be written to; empty when
    there is none."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        for line in file:
            _, rights, *more = line.split(maxsplit=5)
            if "s" in rights and "w" in rights:
                return more[-1].strip()
    return ""


def has_merged_pages() -> bool:
    """Whether the kernel has replaced pages by equal ones (KSM): such a page is shared and still may be new."""
    try:
        with open("/proc/self/ksm_merging_pages", "rb", buffering=0) as file:
            return file.read(32).strip() != b"0"
    except OSError:
        return False
