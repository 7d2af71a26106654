"""Metrics by name, in a registry of their own, so that a process may hold several servers (tests do).

Prometheus' rules: prefix `bascule_`, base units, `_total` for counters, and no label whose values a stranger chooses.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

FAST_S: Final = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
    60,
)
"""Buckets from a tenth of a millisecond to a minute."""
SIZES: Final = tuple(4.0**power for power in range(5, 15))
"""Buckets from 1 KiB to 256 MiB."""
COUNTS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CONTENT_TYPE: Final = CONTENT_TYPE_LATEST


@dataclass(slots=True)
class Traffic:
    """What went over all connections. Plain numbers: an addition here costs a tenth of a Counter's `inc`."""

    messages_received: int = 0
    messages_sent: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0


class _TrafficCollector(Collector):
    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic

    def collect(self) -> Iterator[CounterMetricFamily]:
        now = self._traffic
        yield _family("bascule_messages", "Messages by direction.", now.messages_received, now.messages_sent)
        yield _family("bascule_relay_bytes", "Bytes of messages by direction.", now.bytes_received, now.bytes_sent)

    def describe(self) -> Iterable[CounterMetricFamily]:
        return self.collect()


def _family(name: str, meaning: str, received: int, sent: int) -> CounterMetricFamily:
    family = CounterMetricFamily(name, meaning, labels=["direction"])
    family.add_metric(["received"], received)
    family.add_metric(["sent"], sent)
    return family


class Metrics:
    """All metrics of one server."""

    def __init__(self, version: str = "unknown") -> None:
        self.registry = registry = CollectorRegistry()
        self.traffic = Traffic()
        registry.register(_TrafficCollector(self.traffic))
        self.build_info = Info("bascule_build", "What is running.", registry=registry)
        self.build_info.info({"version": version, "python": platform.python_version()})
        self._make_connection_metrics(registry)
        self._make_session_metrics(registry)
        self._make_worker_metrics(registry)

    def _make_connection_metrics(self, registry: CollectorRegistry) -> None:
        self.connections = Gauge("bascule_connections", "Open connections.", registry=registry)
        self.connections_refused = Counter(
            "bascule_connections_refused", "Connections that were not let in.", ["reason"], registry=registry
        )
        self.http_requests = Counter(
            "bascule_http_requests", "REST requests by route and status.", ["method", "route", "status"],
            registry=registry,
        )  # fmt: skip
        self.http_seconds = Histogram(
            "bascule_http_request_seconds", "From a REST request's head to its answer.", ["route"], buckets=FAST_S,
            registry=registry,
        )  # fmt: skip
        self.bad_messages = Counter("bascule_bad_messages", "Messages that are no request.", registry=registry)
        self.auth_failures = Counter(
            "bascule_auth_failures", "Tokens refused, by how they were shown.", ["method"], registry=registry
        )
        self.jwks_fetches = Counter(
            "bascule_jwks_fetches", "Rounds for the keys at a `jwks_url`, by how they ended.", ["outcome"],
            registry=registry,
        )  # fmt: skip

    def _make_session_metrics(self, registry: CollectorRegistry) -> None:
        self.sessions = Gauge("bascule_sessions", "Sessions in this server's hand.", ["state"], registry=registry)
        self.session_start_seconds = Histogram(
            "bascule_session_start_seconds", "From asking for a worker to having it.", ["warm"], buckets=FAST_S,
            registry=registry,
        )  # fmt: skip
        self.quota_refusals = Counter(
            "bascule_quota_refusals", "Requests refused because a quota of their tenant is used up.", ["limit"],
            registry=registry,
        )  # fmt: skip
        self.evals = Counter("bascule_evals", "Evals by how they ended.", ["outcome"], registry=registry)
        self.eval_seconds = Histogram(
            "bascule_eval_seconds", "From accepting an eval to its answer.", buckets=FAST_S, registry=registry
        )
        self.commits = Counter("bascule_commits", "Commits by the store's answer.", ["answer"], registry=registry)
        self.commit_seconds = Histogram(
            "bascule_commit_seconds", "Time of one commit in the store.", buckets=FAST_S, registry=registry
        )
        self.commit_batch = Histogram(
            "bascule_commit_batch", "Commits sent in one pipeline.", buckets=COUNTS, registry=registry
        )
        self.checkpoint_bytes = Histogram(
            "bascule_checkpoint_bytes", "Bytes that a commit sent to the store.", buckets=SIZES, registry=registry
        )

    def _make_worker_metrics(self, registry: CollectorRegistry) -> None:
        self.workers = Gauge("bascule_workers", "Workers by status.", ["status"], registry=registry)
        self.worker_start_seconds = Histogram(
            "bascule_worker_start_seconds", "Time to start a worker.", ["runtime"], buckets=FAST_S, registry=registry
        )
        self.worker_deaths = Counter("bascule_worker_deaths", "Workers that ended.", ["cause"], registry=registry)
        self.replacements = Counter("bascule_replacements", "Workers replaced.", ["cause"], registry=registry)
        self.orphans_reaped = Counter(
            "bascule_orphans_reaped", "Workers ended because they belonged to no session.", registry=registry
        )
        self.park_seconds = Histogram(
            "bascule_park_seconds", "From asking a worker to end until the store has it.", registry=registry
        )
        self.parked_for_room = Counter(
            "bascule_sessions_parked_for_room", "Idle sessions parked because others needed workers.", registry=registry
        )
        self.start_queue = Gauge("bascule_start_queue", "Sessions that wait for a worker.", registry=registry)

    def render(self) -> bytes:
        """Everything in Prometheus' text format; its type is `CONTENT_TYPE`."""
        return generate_latest(self.registry)
