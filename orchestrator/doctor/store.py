"""Redis: the one at a URL, and the private one that the embedded default would start."""

from __future__ import annotations

import asyncio
import re
import secrets
import tempfile
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from orchestrator.core.ids import RANDOM_BYTES, session_id
from orchestrator.doctor.findings import Finding, said_by
from orchestrator.ports import StoreFacts
from orchestrator.stores.embedded import EmbeddedError, find_server, start_embedded
from orchestrator.stores.redis import RedisStore
from replwire.errors import WireError

URL: Final = "store redis"
EMBEDDED: Final = "store embedded"


def redis_at(url: str, password: str | None = None) -> Finding:
    """A Redis that runs: what it is, how durable, and whether it runs our scripts (Lua)."""
    shown = "the given URL"
    try:
        shown = urlsplit(url)._replace(netloc=urlsplit(url).netloc.rpartition("@")[2]).geturl()
        facts = asyncio.run(_facts(url, password))
    except ValueError as error:
        return Finding(URL, False, f"{shown}: {error}", "give redis://HOST:PORT, rediss://… or unix:///PATH")
    except WireError as error:
        return Finding(
            URL,
            False,
            f"{shown}: {error.message}",
            "start it, or correct --redis-url (password: BASCULE_REDIS__PASSWORD)",
        )
    return Finding(URL, True, f"{shown}: {_words(facts)}", "; ".join(facts.warnings), _as_facts(facts))


def embedded() -> Finding:
    """The private Redis: which program, which version, and whether it starts and runs our scripts."""
    try:
        server = find_server()
        facts = asyncio.run(_try_embedded())
    except EmbeddedError as error:
        first, _, rest = str(error).partition("\n")
        return Finding(EMBEDDED, False, first.strip(), " ".join(rest.split()))
    except WireError as error:
        return Finding(
            EMBEDDED,
            False,
            f"it starts and does not serve: {error.message}",
            "see `redis-server --version`: 7.0 is the least",
        )
    version = re.search(r"v=([\d.]+)", said_by(server, "--version")[1])
    known = {**_as_facts(facts), "server": server, "version": version[1] if version else None}
    return Finding(EMBEDDED, True, f"{server}: {_words(facts)}", "", known)


async def _try_embedded() -> StoreFacts:
    with tempfile.TemporaryDirectory(prefix="bascule-doctor-") as folder:
        private = await start_embedded(Path(folder) / "redis")
        try:
            return await _facts(private.url)
        finally:
            await private.stop_even_if_found()


async def _facts(url: str, password: str | None = None) -> StoreFacts:
    """What the server says of itself; a script that finds no session changes nothing, and shows that Lua runs."""
    store = RedisStore(url, password=password, is_guest=True)
    try:
        facts = await store.facts()
        nobody = session_id(secrets.token_bytes(RANDOM_BYTES), secrets.token_bytes(RANDOM_BYTES))
        await store.raise_generation(nobody, 0, "doctor", 1.0)
        return facts
    finally:
        await store.close()


def _words(facts: StoreFacts) -> str:
    return f"{facts.software}, durable: {facts.durable}, Lua scripts run"


def _as_facts(facts: StoreFacts) -> dict[str, object]:
    return {"software": facts.software, "durable": facts.durable, "lua": True, "warnings": list(facts.warnings)}
