"""The policy on system calls: one table, what is made from it, and the copy that people read."""

from __future__ import annotations

from pathlib import Path

from orchestrator.runtimes.syscalls import ALLOWED, CONDITIONAL, REFUSED, docker_profile, profile_text

PAGE = Path(__file__).resolve().parents[4] / "worker-image" / "seccomp.json"


def test_the_page_is_what_the_table_says():
    """`make references` writes it."""
    assert PAGE.read_text() == profile_text()


def test_no_call_is_both_allowed_and_refused():
    """Nor allowed without the look at its arguments that it needs."""
    assert not set(ALLOWED) & (set(REFUSED) | set(CONDITIONAL))
    assert len(set(ALLOWED)) == len(ALLOWED)


def test_there_are_no_32_bit_calls():
    """`socketcall` and `ipc` take their arguments from memory, which no filter can read."""
    assert [entry["subArchitectures"] for entry in docker_profile()["archMap"]] == [[], []]
    assert not {"socketcall", "ipc"} & set(ALLOWED)


def test_what_is_not_named_is_refused():
    """By default, and each number stands for one call only."""
    assert docker_profile()["defaultAction"] == "SCMP_ACT_ERRNO"
    for machine in ("x86_64", "aarch64"):
        numbers = [getattr(entry, machine) for entry in (*REFUSED.values(), *CONDITIONAL.values())]
        known = [number for number in numbers if number is not None]
        assert len(set(known)) == len(known)
