"""A session's record: what the store knows of it.

    (new) ──open──► OPEN ──close / expire──► CLOSED

A session outlives its workers: whether one runs for it now is not part of its life, but of its generation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from replwire.errors import WireError


class Status(Enum):
    """Of a session, as the store knows it."""

    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """What the session was opened with; fixed for its life."""

    tenant: str
    subject: str
    durability: str = "commit"
    image: str = ""
    name: str = ""
    implicit: bool = False
    """Never opened by name: ends some time after its last connection."""
    idle_timeout_s: float = 1800.0
    limits: Mapping[str, int] = field(default_factory=dict)
    """All limits in force, by name."""
    acts_outside: bool = False
    """Its evals may act beyond the sandbox: what may have run is not run again unasked."""
    park_unsaved: bool = True
    """Whether its worker may be ended to save memory while names are in it that no checkpoint keeps."""
    origin: str = ""
    """The session whose state it was made from; empty for one that began with nothing."""
    origin_seq: int = 0
    """The seq of that state, and its own first one: until it commits something it holds a copy."""


def with_all_limits(policy: SessionPolicy, operator: Mapping[str, int]) -> SessionPolicy:
    """The policy with the operator's value of each limit that did not exist yet when the session was opened."""
    if operator.keys() <= policy.limits.keys():
        return policy
    return replace(policy, limits={**operator, **policy.limits})


@dataclass(frozen=True, slots=True)
class WorkerAddress:
    """Where the current worker of a session is reached: the runtime's name, the worker's id in it, and the address."""

    runtime: str
    worker: str
    address: str
    uid: int
    """Host uid that owns the socket."""


@dataclass(frozen=True, slots=True)
class Record:
    """What the store knows of a session."""

    session: str
    policy: SessionPolicy
    status: Status
    created_at: float
    generation: int
    nonce: str
    seq: int
    etag: str
    seen_at: float
    """When a front door last had to do with it, by the store's clock, Unix seconds."""
    last_events: Mapping[int, int] = field(default_factory=dict)
    """Per generation, the number of the last event committed."""
    last_seqs: Mapping[int, int] = field(default_factory=dict)
    """Per generation, the last seq committed."""
    worker: WorkerAddress | None = None
    owner: str = ""
    deadline: float = 0.0
    """Of a replacement under way, by the store's clock."""
    cause: str = ""
    """Why the current generation was raised: an error code, `rewind`, `parked`, or nothing for the first worker."""
    linked_at: float = 0.0
    """When a front door that is linked to the worker last said so, by the store's clock, Unix seconds."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of eval `seq`, sealed: to everyone outside a sandbox it is bytes."""

    seq: int
    generation: int
    """The generation that committed it (it is part of what the manifest is bound to)."""
    manifest: bytes
    references: tuple[bytes, ...]
    etag: str = ""
    """The session's etag after that eval."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A state that is kept under a name for as long as its session."""

    name: str
    seq: int
    etag: str


@dataclass(frozen=True, slots=True)
class KeptStates:
    """What `rewind`, `fork` and `open from` may go to."""

    seqs: tuple[int, ...]
    """Of the last states, oldest first; the last one is the current state."""
    pins: tuple[Pin, ...]


@dataclass(frozen=True, slots=True)
class Seed:
    """The state that a new session begins with: sealed for that session, generation 0 and this seq."""

    seq: int
    etag: str
    manifest: bytes
    references: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class OpenId:
    """The id of an `open` and whose it is: the same one with the same body opens one session only."""

    tenant: str
    subject: str
    request_id: str
    body_hash: bytes


@dataclass(frozen=True, slots=True)
class KnownId:
    """A row of the id table."""

    request_id: str
    body_hash: bytes
    seq: int


def visible_to(record: Record | None, tenant: str, session: str) -> Record:
    """The record, if this tenant may know of it; else the same `not_found` as for an id that never was."""
    if record is None or record.policy.tenant != tenant:
        raise WireError("not_found", "no such session", session=session)
    if record.status is Status.CLOSED:
        raise WireError("session_gone", "the session was closed", session=session)
    return record
