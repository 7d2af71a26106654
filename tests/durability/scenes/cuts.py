"""Redis' append-only file is cut at a random byte: what is read from the rest is the past, whole, and never a mixture.

Most cuts are made of copies of one file, and read through the store's adapter. The others are made under a server that
runs: its clients, who know newer etags, must be told `session_regressed`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Final

from durability.ground import Layout
from durability.scenes.scene import Figures, Order, Scene, Staff, play
from orchestrator.core.commits import Commit
from orchestrator.ports import Store
from support.commits import Writer, chunk, opened
from support.redis_server import RedisServer, binaries, growing_file
from support.stores import connected

UNDER_A_SERVER: Final = 10
"""Every so manieth cut is made under a server."""
SESSIONS: Final = 4
COMMITS: Final = 80
"""In the file that is cut."""
TAIL_BYTES_MAX: Final = 8000
"""What is cut off under a server: a few commits."""
GROWTH_BYTES: Final = 40_000
"""By so much the file grows before, so that the sessions are still there afterwards."""


async def cut(order: Order) -> Figures:
    """Both kinds of cuts, together as many as ordered."""
    under_server = max(1, order.faults // UNDER_A_SERVER)
    layout = Layout(order.runtime, order.doors, bug=order.bug)
    live = replace(order, faults=under_server)
    figures = await play(live, layout, Staff(sessions=3), _cut_under_server, allows=("session_regressed",))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bascule-cut-") as folder:
        findings = await _cut_copies(Path(folder), order, under_server)
    figures.faults["file cut"] = order.faults - under_server
    figures.findings += findings
    figures.seconds += time.monotonic() - began
    return figures


# --- under a server ---------------------------------------------------------------------------------------------------


async def _cut_under_server(scene: Scene) -> None:
    redis = scene.ground.redis
    while not scene.is_done:
        await asyncio.to_thread(redis.settle)
        before = redis.file.stat().st_size
        while redis.file.stat().st_size < before + GROWTH_BYTES:
            for session in scene.sessions:
                await scene.progress(session)
        await asyncio.to_thread(redis.kill)
        os.truncate(redis.file, redis.file.stat().st_size - scene.random.randint(1, TAIL_BYTES_MAX))
        await asyncio.to_thread(redis.start)
        scene.count("file cut under a server")


# --- copies -----------------------------------------------------------------------------------------------------------


@dataclass
class _Past:
    """Everything that was written: in order, each session with the number that it then had."""

    steps: list[tuple[str, int]] = field(default_factory=list)
    commits: dict[str, list[Commit]] = field(default_factory=dict)
    data: dict[bytes, bytes] = field(default_factory=dict)


async def _cut_copies(folder: Path, order: Order, begun: int) -> list[str]:
    random = Random(f"{order.campaign} {order.seed} copies")
    (folder / "whole").mkdir()
    server = RedisServer(next(iter(binaries().values())), folder / "whole")
    try:
        async with connected(server.url) as store:
            past = await _written(store, random)
    finally:
        server.kill()
    findings: list[str] = []
    for number in range(order.faults - begun):
        byte = random.randrange(server.file.stat().st_size)
        findings += [f"mixture: cut at byte {byte}: {words}" for words in await _read_cut(folder, byte, past)]
        order.told(begun + number + 1)
    return findings


async def _written(store: Store, random: Random) -> _Past:
    past = _Past()
    writers: list[Writer] = []
    for number in range(SESSIONS):
        sibling = writers[0].session if number == 1 else None
        writer = await opened(store, sibling)
        writers.append(writer)
        past.steps.append((writer.session, 0))
        past.commits[writer.session] = []
    for _ in range(COMMITS):
        writer = random.choice(writers)
        fresh = [chunk(random.randbytes(random.randint(1, 200))) for _ in range(random.randint(0, 2))]
        kept = [item for item in writer.references if random.random() < 0.7]
        commit = writer.next_commit(chunks=fresh, references=[*kept, *(item for item, _ in fresh)])
        reply = await store.commit(commit)
        assert reply.answer.value == "OK" and reply.durable == "fsync", reply
        writer.accept(commit)
        past.data.update(fresh)
        past.commits[writer.session].append(commit)
        past.steps.append((writer.session, commit.seq))
    return past


async def _read_cut(folder: Path, byte: int, past: _Past) -> list[str]:
    copy = folder / "cut"
    shutil.copytree(folder / "whole" / "appendonlydir", copy / "appendonlydir")
    os.truncate(growing_file(copy), byte)
    server = await asyncio.to_thread(RedisServer, next(iter(binaries().values())), copy, aof_load_truncated="yes")
    try:
        async with connected(server.url) as store:
            return [words async for words in _wrong(store, past)]
    finally:
        server.kill()
        shutil.rmtree(copy)


async def _wrong(store: Store, past: _Past) -> AsyncIterator[str]:
    """Each session is as it was at one moment, and that moment is the same for all."""
    seqs: dict[str, int | None] = {}
    for session in past.commits:
        record = await store.read(session)
        seqs[session] = None if record is None else record.seq
        if record is not None:
            async for words in _wrong_session(store, session, record.seq, record.etag, past):
                yield f"{session}: {words}"
    if not any(seqs == moment for moment in _moments(past)):
        yield f"no moment had these numbers: {seqs}"


def _moments(past: _Past) -> Iterator[dict[str, int | None]]:
    """What each session's number was, step by step."""
    now: dict[str, int | None] = dict.fromkeys(past.commits)
    yield dict(now)
    for session, seq in past.steps:
        now[session] = seq
        yield dict(now)


async def _wrong_session(store: Store, session: str, seq: int, etag: str, past: _Past) -> AsyncIterator[str]:
    commits = past.commits[session][:seq]
    entries = [commit.entries[0] for commit in commits]
    if etag != (commits[-1].etag if commits else ""):
        yield f"the etag of {seq} is {etag}"
    journal = await store.journal(session, 1, seq + COMMITS)
    if [(number, blob) for number, blob in journal] != [(entry.seq, entry.blob) for entry in entries]:
        yield f"the journal of {seq} has {[number for number, _ in journal]}"
    known = [(item.request_id, item.seq) for item in await store.known_ids(session)]
    if sorted(known, key=lambda item: item[1]) != [(entry.request_id, entry.seq) for entry in entries]:
        yield f"the ids of {seq} are {known}"
    checkpoint = await store.checkpoint(session)
    references = commits[-1].references if commits else ()
    if (checkpoint.seq if checkpoint else 0, checkpoint.references if checkpoint else ()) != (seq, references):
        yield f"the checkpoint of {seq} is that of {checkpoint.seq if checkpoint else None}"
    found = await store.chunks(session, references)
    if dict(found) != {item: past.data[item] for item in references}:
        yield f"of the chunks of {seq}, {len(references) - len(found)} are missing"
