"""How many cases were tried where a tool makes them up: counted while they run, told at the end of the test run."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

ENVELOPE = "envelope"
"""The marker of Hypothesis tests whose examples are told in a line of their own."""
_COUNTED = "is_counted"
"""On a body that is counted already: cases of one test share it."""
_KEY = pytest.StashKey["Reckoning"]()


@dataclass
class Reckoning:
    """Cases and failures by what they were made for."""

    cases: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    _names: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, cases: int, failures: int = 0) -> None:
        """So many more."""
        self.cases[name] += cases
        self.failures[name] += failures

    def watch(self, item: pytest.Function) -> None:
        """Count the runs of a Hypothesis test's body: that is what an example is."""
        name = f"hypothesis {'over the envelope' if item.get_closest_marker(ENVELOPE) else 'elsewhere'}"
        self._names[item.nodeid] = name
        handle: Any = item.obj.hypothesis
        if not hasattr(handle.inner_test, _COUNTED):
            handle.inner_test = self._counting(name, handle.inner_test)

    def _counting(self, name: str, body: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(body)
        def counted(*arguments: Any, **named: Any) -> Any:
            self.cases[name] += 1
            return body(*arguments, **named)

        setattr(counted, _COUNTED, True)
        return counted

    def heard(self, report: pytest.TestReport) -> None:
        """A test that failed is one failure, however many examples showed it."""
        if report.failed and (name := self._names.get(report.nodeid)):
            self.failures[name] += 1

    def lines(self) -> list[str]:
        """For the end of the run."""
        return [f"{name}: {count} cases, {self.failures[name]} failures" for name, count in sorted(self.cases.items())]


def pytest_configure(config: pytest.Config) -> None:
    """One for each run."""
    config.stash[_KEY] = Reckoning()
    config.pluginmanager.register(_Ears(config.stash[_KEY]))


class _Ears:
    """Passes on how tests ended; what hears that has no other way to the run's reckoning."""

    def __init__(self, reckoning: Reckoning) -> None:
        self._reckoning = reckoning

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._reckoning.heard(report)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Whatever is made up by Hypothesis is counted."""
    for item in items:
        if isinstance(item, pytest.Function) and getattr(item.obj, "is_hypothesis_test", False):
            config.stash[_KEY].watch(item)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """One line for each name."""
    for line in config.stash[_KEY].lines():
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def reckoning(pytestconfig: pytest.Config) -> Reckoning:
    """For tests whose cases another tool makes."""
    return pytestconfig.stash[_KEY]
