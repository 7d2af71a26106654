"""The last look at a session, when the faults are over: what evals left there, its journal."""

from __future__ import annotations

import ast
import asyncio
import json
from typing import Any, Final

from durability.connection import Envelope
from durability.effects import LOOK_CODE
from durability.history import Recorder
from durability.rules.finding import SETUP
from durability.workload import RETRY_AGAIN_S, TRIES_MAX, Client

PAGE: Final = 100
"""Numbers that are passed over where a reply has none of them: they are not kept any more."""


async def observe(client: Client, recorder: Recorder) -> None:
    """Read everything of the client's session, and write it into the history."""
    outcome = await _read(client)
    names, counter, file, wrong_cells = json.loads(ast.literal_eval(outcome["output"]))
    recorder.add(
        "observation", session=client.session, list=names, counter=counter, file=file,
        wrong_cells=wrong_cells, seq=outcome["seq"], etag=outcome["etag"],
        journal=await _journal(client, outcome["seq"]),
    )  # fmt: skip


async def _read(client: Client) -> Envelope:
    for number in range(TRIES_MAX):
        outcome = await client.carry_through(f"{SETUP}-{client.name}-final-{number}", LOOK_CODE)
        if outcome["state"] == "committed":
            return outcome
        await asyncio.sleep(RETRY_AGAIN_S)
    raise AssertionError(f"{client.session} could not be read in {TRIES_MAX} tries")


async def _journal(client: Client, last: int) -> list[list[Any]]:
    found: list[list[Any]] = []
    first = 1
    while first <= last:
        entries = (await client.ask("history", {"from": first, "to": last}))["entries"]
        found += [[entry["seq"], entry["id"]] for entry in entries]
        first = found[-1][0] + 1 if entries else first + PAGE
    return found
