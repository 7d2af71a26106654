"""The states that a session has kept: read for whoever wants to go back to one, listed, pinned and let go of."""

from __future__ import annotations

from typing import Final

from orchestrator.core.seal import SealError
from orchestrator.core.session import Checkpoint, KeptStates, Pin, Record
from orchestrator.engine.services import Services
from replwire.envelopes import Json
from replwire.errors import WireError

READ_TRIES_MAX: Final = 5
"""How often a state is read again that was let go of between two looks, because the session went on."""

SHOWN_MAX: Final = 100
"""States that an error names."""


class States:
    """Of every session of this installation."""

    def __init__(self, services: Services) -> None:
        self._store = services.store
        self._vault = services.vault

    async def of(self, record: Record, at: int | str | None) -> Checkpoint:
        """The last state, or that of a seq or a pin; raises `not_found`, with what there is."""
        found = await self._store.checkpoint(record.session, at)
        if found is None:
            raise await self.not_kept(record.session, at)
        return found

    def opened(self, record: Record, state: Checkpoint) -> bytes:
        """Its manifest, as the worker made it; raises `session_regressed`."""
        tenant, generation = record.policy.tenant, state.generation
        try:
            return self._vault.open_manifest(tenant, record.session, generation, state.seq, state.manifest)
        except SealError:
            words = f"the state of seq {state.seq} is not as it was sealed"
            raise WireError("session_regressed", words, seq=state.seq) from None

    async def not_kept(self, session: str, at: int | str | None) -> WireError:
        """The error for a state that there is not, or not any more."""
        states = await self._store.kept_states(session)
        if isinstance(at, str):
            names = [pin.name for pin in states.pins][:SHOWN_MAX]
            return WireError("not_found", f"no state is pinned under this name; there are: {_list(names)}", pins=names)
        if at is None:
            return WireError("not_found", "the session has not committed anything yet: it has no state", kept=[])
        kept = list(states.seqs)[-SHOWN_MAX:]
        return WireError("not_found", f"the state of seq {at} is not kept; kept are: {_list(kept)}", kept=kept)

    # --- names --------------------------------------------------------------------------------------------------

    async def pin(self, record: Record, name: str, seq: int | None) -> Json:
        """Keep a state under a name; raises `not_found` or `quota_exceeded`."""
        for _ in range(READ_TRIES_MAX):
            state = await self.of(record, seq)
            pin = Pin(name, state.seq, state.etag)
            if await self._store.pin(record.session, pin):
                return shown(pin)
        raise await self.not_kept(record.session, seq or record.seq)

    async def unpin(self, record: Record, name: str) -> Json:
        """Let go of it; raises `not_found`."""
        if not await self._store.unpin(record.session, name):
            raise await self.not_kept(record.session, name)
        return {"name": name}

    async def kept(self, session: str) -> Json:
        """What `history` says of them."""
        return listed(await self._store.kept_states(session))


def listed(states: KeptStates) -> Json:
    """As replies have it."""
    return {"states": list(states.seqs), "pins": [shown(pin) for pin in states.pins]}


def shown(pin: Pin) -> Json:
    """As replies have it."""
    return {"name": pin.name, "seq": pin.seq, "etag": pin.etag}


def _list(items: list[int] | list[str]) -> str:
    return ", ".join(map(str, items)) or "none"
