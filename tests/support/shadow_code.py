"""What a tenant's code can see of shadows: to be run in a worker that sees no process but its own."""

from __future__ import annotations

from typing import Final

PROCESSES: Final = """
import os, time

def processes():
    living = 0
    for name in filter(str.isdigit, os.listdir('/proc')):
        try:
            living += ') Z ' not in open(f'/proc/{name}/stat').read()
        except OSError:
            pass
    return living

def comes_to(count):
    deadline = time.monotonic() + 5
    while processes() != count and time.monotonic() < deadline:
        time.sleep(0.005)
    return processes() == count
"""
"""`processes()`: those that live; `comes_to(count)`: whether they become so many soon."""

KILL_SHADOW: Final = """
import os, signal, time

def sleeps(pid):  # in a session of its own, and holding nothing of ours any more
    try:
        return os.getsid(pid) == pid and os.readlink(f'/proc/{pid}/fd/1') == '/'
    except OSError:
        return False

def shadows():
    # From 2 on: outside of a process namespace these would be the machine's.
    return [pid for pid in range(2, 99) if pid not in (os.getppid(), os.getpid()) and sleeps(pid)]

while not shadows():
    time.sleep(0.001)
os.kill(*shadows(), signal.SIGKILL)
"""
"""Waits until one sleeps."""
