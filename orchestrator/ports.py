"""The ports: small protocols between the engine and the world. To read them is to read the architecture.

Each has adapters (`runtimes`, `stores`, `transports`, `auth`), a public twin for tests, and one contract suite
that all of them pass (`tests/contract`).
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestrator.core.commits import Commit, CommitReply, Entry
from orchestrator.core.intents import Intent, IntentReply
from orchestrator.core.paging import Position
from orchestrator.core.principal import Principal
from orchestrator.core.sandbox import SandboxSpec
from orchestrator.core.session import (
    Checkpoint,
    KeptStates,
    KnownId,
    OpenId,
    Pin,
    Record,
    Seed,
    SessionPolicy,
    WorkerAddress,
)


class Clock(Protocol):
    """Time. Deadlines use `monotonic`, envelopes use `now`; neither is ever compared with the store's clock."""

    def monotonic(self) -> float:
        """Seconds that only grow."""

    def now(self) -> float:
        """Unix seconds."""


class Channel(Protocol):
    """One client's connection."""

    async def receive(self) -> str | None:
        """The next message, or None when the client has gone."""

    def offer(self, text: str) -> bool:
        """Send at once if the client keeps up; False, and nothing was sent, when it does not: then use `send`.
        True on a closed channel, where nothing can be sent any more."""

    async def send(self, text: str) -> None:
        """Hand a message over; waits while the client reads too slowly. Does nothing on a closed channel."""

    async def close(self, code: int, reason: str) -> None:
        """Say goodbye, with a code of `replwire.errors.CLOSE_CODES`."""


class ProofUnavailableError(Exception):
    """Nobody can tell now whether what was shown is good; the message may be told. The same may be good later."""


class Authenticator(Protocol):
    """Turns what a client shows into a Principal."""

    def authenticate(self, token: str) -> Principal:
        """Raises `WireError("unauthenticated")`, always with the same words and in the same time; or
        `ProofUnavailableError`."""

    def stands(self, principal: Principal) -> bool:
        """Whether a principal that was let in would be let in now, as it was: not expired or revoked, its key known."""


class TicketOffice(Protocol):
    """One-time tickets in place of a token, for browsers, whose WebSockets can't show one."""

    def issue(self, principal: Principal) -> tuple[str, int]:
        """A ticket and the seconds that it is good for; raises `unauthenticated` when the principal has expired."""

    async def redeem(self, ticket: str) -> Principal:
        """Who got it, once only; raises `WireError`: `unauthenticated`, always with the same words, or
        `store_unavailable`."""


@dataclass(frozen=True, slots=True)
class WorkerFate:
    """What a runtime knows of a worker: alive True, False, or None when it cannot tell; and how it ended."""

    alive: bool | None
    exit_code: int | None = None
    memory_killed: bool = False


class Runtime(Protocol):
    """Makes and ends workers. Ending what is not there is success; every call may be repeated."""

    name: str
    survives_server: bool
    """Whether its workers outlive the server's process."""

    async def start(self, spec: SandboxSpec) -> WorkerAddress:
        """A worker with all its locks, its socket ready to be dialled; raises `WireError("capacity")`."""

    async def dial(self, address: WorkerAddress) -> socket.socket:
        """A connected, non-blocking socket, opened so that no link planted by a tenant is followed; `OSError`."""

    async def stop(self, worker: str) -> None:
        """End it and everything that belongs to it: processes, folder, uid, cgroup."""

    async def fate(self, worker: WorkerAddress) -> WorkerFate:
        """Whether it lives, whoever started it, and if not, how it ended, as far as is known."""

    async def list_workers(self) -> Sequence[str]:
        """Ids of all workers that carry our label, whoever started them."""

    async def close(self) -> None:
        """Release threads and handles; ends workers only when they cannot outlive this process."""


@dataclass(frozen=True, slots=True)
class Raised:
    """A replacement that this caller owns: publish the new worker before the deadline, or anyone raises again."""

    generation: int
    nonce: str


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """What the store is and does: read at start and watched."""

    software: str
    durable: str
    """`fsync` or `memory`: what an OK of a commit means."""
    warnings: tuple[str, ...] = ()
    found_durable: str = "memory"
    """What is known of a commit that is found in the store and whose OK nobody heard: `fsync` only where each write is
    on the disk before any reply."""


class Store(Protocol):
    """What survives us. Every method raises `WireError("store_unavailable")` when the store does not answer in time.

    Times in it are the store's own. Chunks, manifests and blobs come sealed; the store never sees inside.
    """

    async def facts(self) -> StoreFacts:
        """Ask the store what it is; also the readiness probe."""

    async def create(
        self, session: str, policy: SessionPolicy, opened: OpenId | None = None, *, sessions_max: int | None = None
    ) -> Record:
        """A new session at generation 0, seq 0, without a worker. An id in use is a `ValueError`.

        `opened`: by which request. If that one has opened a session before, its record as it is now comes back, closed
        ones too; with another body `WireError("conflict")`.

        `sessions_max`: how many open sessions the policy's tenant may have with this one; None: any number. Beyond it
        `WireError("quota_exceeded")`, and nothing was made; of callers at the same time never more than that find a
        place. What `opened` opened before comes back all the same.
        """

    async def read(self, session: str) -> Record | None:
        """The record as it is now."""

    async def raise_generation(
        self, session: str, seen: int, owner: str, deadline_s: float, cause: str = "",
        *, vacant: bool = False, above: int = 0,
    ) -> Raised | None:  # fmt: skip
        """Compare-and-set: generation + 1 with a fresh random nonce, if `seen` is still current (and any replacement
        under way by another owner has passed its deadline); None otherwise: read again. `cause`: see `Record`.
        `vacant`: only if no worker was published meanwhile. `above`: the new generation is above this one too, which
        the store forgot when it went back. It ends a generation: as durable as a commit."""

    async def publish(self, session: str, raised: Raised, worker: WorkerAddress | None) -> bool:
        """Make the worker's address known (None: the session has no worker now); False unless generation and nonce
        are current."""

    async def now(self) -> float:
        """The store's clock, Unix seconds."""

    async def park(self, session: str, seen: Raised, seq: int, until: float) -> bool:
        """Generation + 1 with a fresh nonce, no worker and no owner, in one step: for a worker that agreed to begin
        nothing `until` then, by the store's clock. False, and nothing was changed, when it is later, or unless
        generation and nonce are those `seen` and `seq` is the last one."""

    async def commit(self, commit: Commit) -> CommitReply:
        """The one script of durability.md. Safe to repeat with the same arguments."""

    async def intend(self, wanted: Sequence[Intent]) -> Sequence[IntentReply]:
        """Write that these are on their way to their workers; the commit of an id takes its intent away."""

    async def withdraw(self, wanted: Sequence[Intent]) -> None:
        """These were not started after all."""

    async def checkpoint(self, session: str, at: int | str | None = None) -> Checkpoint | None:
        """The last committed state, or that of a seq or of a pin's name; None when there is none, or it is not kept."""

    async def kept_states(self, session: str) -> KeptStates:
        """Which states there are to go back to."""

    async def rewind(self, commit: Commit, to: int, raised: Raised, owner: str, deadline_s: float) -> CommitReply:
        """A commit of one entry whose state is that of seq `to` (its references, its manifest sealed anew), and in the
        same step `raised`: the commit's generation + 1, with a nonce of the caller's. GAP when the state is not kept
        any more. Safe to repeat."""

    async def pin(self, session: str, pin: Pin) -> bool:
        """Keep the state of `pin.seq` under the name, in place of what it named before; False when that state, with
        that etag, is not kept any more, `WireError("quota_exceeded")` when the session has `pins_max`."""

    async def unpin(self, session: str, name: str) -> bool:
        """Let go of it; False when there is no such name."""

    async def fork(
        self, parent: str, at: int | str, session: str, policy: SessionPolicy, seed: Seed,
        opened: OpenId | None = None, *, sessions_max: int | None = None,
    ) -> Record | None:  # fmt: skip
        """A new session of the parent's lineage that begins with the parent's state of a seq or a pin; the references
        are taken in the same step. None when the lineage has `lineage_max` sessions: then copy, by `put` and `plant`.
        Raises `WireError("not_found")` when that state, with the seed's etag, is not kept any more. `opened` and
        `sessions_max`: see `create`."""

    async def put(self, session: str, chunks: Sequence[tuple[bytes, bytes]]) -> None:
        """Sealed chunks for a session that is going to be planted; what is not counted in time goes by itself."""

    async def plant(
        self, session: str, policy: SessionPolicy, seed: Seed, entries: Sequence[Entry] = (),
        opened: OpenId | None = None, *, sessions_max: int | None = None,
    ) -> Record | None:  # fmt: skip
        """A new session, alone in its lineage, that begins with this state and, up to its seq, these journal entries
        and ids. None when a chunk is absent. `opened` and `sessions_max`: see `create`."""

    async def chunks(self, session: str, references: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """Sealed chunks by content id; those absent are left out."""

    async def known_ids(self, session: str) -> Sequence[KnownId]:
        """The id table, oldest first: the last 1,000 at least, 24 h at least."""

    async def outcome(self, session: str, request_id: str) -> tuple[int, bytes] | None:
        """Seq and sealed blob that an id ended with."""

    async def journal(self, session: str, first: int, last: int) -> Sequence[tuple[int, bytes]]:
        """Sealed blobs of the evals `first`..`last` that are kept, in order."""

    async def touch(self, sessions: Sequence[str], linked: Collection[str] = ()) -> None:
        """A front door has these sessions in hand: `seen_at` is now; of those in `linked`, `linked_at` as well."""

    async def sessions_of(
        self, tenant: str, after: Position | None, count: int
    ) -> tuple[Sequence[Record], Position | None]:
        """At most `count` open records of a tenant, the newest first, those after a position; and the position of the
        last one when there are more."""

    async def end(self, session: str) -> None:
        """Close it: the record says so for a while, all else is deleted. Repeating is fine."""

    async def spend(self, nonce: str, ttl_s: int) -> bool:
        """Use a nonce up: True the first time within `ttl_s` seconds, whichever front door asks."""

    async def sweep_chunks(self) -> int:
        """Delete chunks that were put and never committed, once their grace is over; how many there were."""

    def sessions(self) -> AsyncIterator[Record]:
        """All records that are open; no order is promised."""

    async def close(self) -> None:
        """Send what waits, then release connections."""


class BlobStore(Protocol):
    """Where large chunks lie: a folder, later an object store. Names are ours and never used twice for other bytes.

    Every method raises `WireError("store_unavailable")` when it does not answer in time.
    """

    async def put(self, name: str, data: bytes) -> None:
        """Durable when this returns. One that is there stays as it is: the same name is the same bytes."""

    async def get(self, name: str) -> bytes | None:
        """The bytes, or None."""

    def names(self, prefix: str) -> AsyncIterator[str]:
        """Names that begin so; no order is promised."""

    async def delete(self, name: str) -> None:
        """Nothing to delete is success."""

    async def close(self) -> None:
        """Release what is held."""
