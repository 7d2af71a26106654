"""What the engine is told at start: frozen values, parsed once by `orchestrator.settings`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.core.sandbox import SandboxSpec
from replwire.limits import default_limits


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Times, counts and the sandbox. Every number is a setting with this name."""

    limits: Mapping[str, int] = field(default_factory=default_limits)
    """The operator's limits of the wire, by name."""
    sandbox: SandboxSpec = field(default_factory=lambda: SandboxSpec(worker=""))
    """The locks of every worker; the worker's id is filled in for each."""
    images: tuple[str, ...] = ()
    """Further worker images that `open` may name, besides the sandbox's."""
    pool_size: int = 2
    """Warm workers kept ready."""
    refill_at_once: int = 1
    """Worker starts at the same time; more of them ruin the round trip of running sessions."""
    start_queue_max: int = 256
    """Sessions that wait for a worker; beyond it `capacity`."""
    start_wait_s: float = 60.0
    """How long a session waits for a worker; beyond it `capacity`."""
    sessions_max: int = 12_000
    """Sessions in hand on this front door: with a worker or a client; beyond it `capacity`."""
    workers_max: int = 500
    """Workers of this front door, warm ones included; beyond it the session that was idle for longest is parked."""
    commit_wait_ms: int = 1000
    """How long a result waits for its commit before it goes out as `kept`."""
    handover_ms: int = 2000
    """How long an agent waits for a confirmation before it offers an outcome to the next link."""
    worker_lost_ms: int = 10_000
    """How long a worker may be out of reach before it is replaced."""
    park_ms: int = 5000
    """How long a worker that agreed to end begins nothing, while the store is told."""
    replace_deadline_s: float = 30.0
    """How long a replacement may take before another front door may try."""
    sweep_interval_s: float = 5.0
    """Between rounds of the sweeper."""
    stamp_key: bytes = b""
    """The key of stamps and link keys; shared by all front doors of an installation."""
    seal_key: bytes = b""
    """The key from which each tenant's sealing key is derived; shared likewise."""
    export_key: bytes = b""
    """The key of exported sessions, shared by the installations that they move between; none: nothing is exported."""
