"""Quotas of a tenant: what a store refuses for one is counted, whichever request asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.telemetry.metrics import Metrics
from replwire.errors import WireError
from replwire.limits import OF_TENANT


@contextmanager
def refusals_counted(metrics: Metrics) -> Iterator[None]:
    """What is inside may be refused for a quota; the metrics tell which one it was."""
    try:
        yield
    except WireError as error:
        if error.code == "quota_exceeded" and (limit := error.details.get("limit")) in OF_TENANT:
            metrics.quota_refusals.labels(limit).inc()
        raise
