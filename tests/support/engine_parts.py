"""Services for engine tests: a real vault and clock, and whatever ports the test brings."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace
from typing import Any, cast

from orchestrator.engine.configuration import EngineConfig
from orchestrator.engine.own_workers import OwnWorkers
from orchestrator.engine.services import Services
from orchestrator.engine.vault import Vault
from orchestrator.ports import Runtime, Store
from orchestrator.telemetry.metrics import Metrics

_NO_RUNTIME = SimpleNamespace(name="none", survives_server=False)
KEYS = {"stamp_key": b"k" * 32, "seal_key": b"s" * 32}


class MachineClock:
    """The clock of this machine."""

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()

    def now(self) -> float:
        """Unix seconds."""
        return time.time()


def services(*, store: object = None, runtime: object = None, **settings: Any) -> Services:
    """The engine's services over the ports that a test needs."""
    config = EngineConfig(**(KEYS | settings))
    workers = OwnWorkers(cast(Runtime, runtime or _NO_RUNTIME))
    return Services(
        runtime=workers, store=cast(Store, store), clock=MachineClock(), config=config,
        metrics=Metrics(), vault=Vault(config.seal_key, os.urandom), random=os.urandom, server="test",
    )  # fmt: skip
