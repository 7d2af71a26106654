"""The doctests of CPython's own standard library, which nobody here wrote, through real sessions on each runtime."""

import pytest

from loadtests.conformance import reasons
from loadtests.conformance.__main__ import FIRE, as_text
from loadtests.conformance.fire import Fire, killer
from loadtests.conformance.run import Report, is_of_test_package, run
from support.server import TOKEN, Server

SESSIONS = 4
EXAMPLES_MIN = 2500
"""Of the image's Python with its test package."""

HOST_EXAMPLES_MIN = 1000
"""Of the host's Python, which may lack it."""

UNDER_FIRE = (
    "statistics", "fractions", "collections", "difflib", "random", "heapq", "ipaddress", "datetime", "_threading_local",
    "pickletools", "doctest", "importlib.metadata._functools",
)  # fmt: skip
"""Modules whose workers are killed in the test; all of them: `python -m loadtests.conformance --fire`."""

UNDER_FIRE_EXAMPLES_MIN = 150


async def conformance(server: Server) -> Report:
    """The whole run; every example is equal or has a reviewed reason."""
    table = reasons.load()
    report = await run(server.url, TOKEN, table, sessions=SESSIONS, tell=lambda line: None)
    assert report.passed, as_text(report, table)
    assert report.unneeded == []
    return report


def count(report: Report, *, test_package: bool) -> int:
    """Examples that were equal, of the test package or of the modules."""
    return sum(is_of_test_package(item.example) == test_package for item in report.of("equal"))


@pytest.mark.docker
@pytest.mark.redis
@pytest.mark.timeout(600)
async def test_python_in_a_container_is_python(on_docker: Server) -> None:
    """Modules and the test package: values, classes, generators, exceptions, as CPython's authors wrote."""
    report = await conformance(on_docker)
    assert len(report.judged) >= EXAMPLES_MIN
    assert count(report, test_package=True) > 1000
    assert len(report.of("differs")) < 100


@pytest.mark.bubblewrap
@pytest.mark.redis
@pytest.mark.timeout(600)
async def test_python_in_a_sandbox_is_python(embedded: Server) -> None:
    """The same on the embedded server, with whatever standard library this host has."""
    report = await conformance(embedded)
    assert count(report, test_package=False) >= HOST_EXAMPLES_MIN
    assert len(report.of("differs")) < 100


@pytest.mark.bubblewrap
@pytest.mark.redis
@pytest.mark.timeout(600)
async def test_a_python_whose_worker_is_killed_at_every_fifth_example_is_python(embedded: Server) -> None:
    """What differs reaches a name that was told as `unsaved`, or stands in the table of what is not kept."""
    table, kill = reasons.load(), killer("bubblewrap", embedded.log_file, embedded.pid)
    report = await run(
        embedded.url, TOKEN, table, sessions=SESSIONS, tell=lambda line: None,
        modules=UNDER_FIRE, fire=Fire(FIRE, kill),
    )  # fmt: skip
    assert report.passed, as_text(report, table.for_fire())
    assert len(report.judged) >= UNDER_FIRE_EXAMPLES_MIN
    assert report.kills >= UNDER_FIRE_EXAMPLES_MIN // FIRE // 2
    assert len(report.of("equal")) > 0.8 * len(report.judged)
