"""Both event loops that are served, for tests of what depends on their transports."""

import asyncio
import importlib.util
from collections.abc import Callable, Mapping

Factory = Callable[[], asyncio.AbstractEventLoop]


def pytest_asyncio_loop_factories() -> Mapping[str, Factory]:
    """The loops by name; uvloop (extra `speed`) where it is installed."""
    factories: dict[str, Factory] = {"asyncio": asyncio.new_event_loop}
    if importlib.util.find_spec("uvloop") is not None:
        import uvloop

        factories["uvloop"] = uvloop.new_event_loop
    return factories
