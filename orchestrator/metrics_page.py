"""The page about metrics, from the registry that the server exposes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client import Histogram
from prometheus_client.metrics import MetricWrapperBase

from orchestrator.telemetry.metrics import Metrics

HEAD: Final = """# Metrics

<!-- Made from the registry by `python -m orchestrator.reference`. Change `telemetry/metrics.py`, not this page. -->

`/metrics`, in the Prometheus text format: on loopback beside the rest, elsewhere on `server.metrics_port` or with a
token that has the scope `admin`. No label has values that a client chooses.
"""


def rows() -> Iterator[tuple[str, str, str, str]]:
    """Name, kind, labels and meaning of each family."""
    metrics = Metrics()
    labels = dict(_labels(metrics))
    for family in sorted(metrics.registry.collect(), key=lambda item: item.name):
        name = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
        seen = ", ".join(sorted({f"`{label}`" for sample in family.samples for label in sample.labels} - {"`le`"}))
        yield f"`{name}`", family.type, labels.get(family.name, seen), family.documentation


def _labels(metrics: Metrics) -> Iterator[tuple[str, str]]:
    for item in vars(metrics).values():
        if isinstance(item, MetricWrapperBase):
            buckets = ", buckets `le`" if isinstance(item, Histogram) else ""
            names = ", ".join(f"`{name}`" for name in item._labelnames)
            yield item._name, (names + buckets).removeprefix(", ")
