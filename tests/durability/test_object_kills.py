"""A front door that is killed with -9 while it commits large state to Redis and a folder: nothing named is absent."""

import asyncio
import os
import random
import sys

import pytest

from orchestrator.stores.blobs_folder import FolderBlobs
from orchestrator.stores.limits import StoreLimits
from orchestrator.stores.redis import RedisStore
from support.commits import POLICY, fresh_session
from support.redis_server import RedisServer, binaries

pytestmark = pytest.mark.redis

KILLS = 12
KEPT = 3

WRITER = f"""
import asyncio, os, sys
from pathlib import Path
from orchestrator.stores.blobs_folder import FolderBlobs
from orchestrator.stores.limits import StoreLimits
from orchestrator.stores.redis import RedisStore
from support.commits import chunk, resumed

async def main(url, folder, session):
    store = RedisStore(url, blobs=FolderBlobs(Path(folder)), limits=StoreLimits(states_kept={KEPT}))
    writer = await resumed(store, session, (await store.read(session)).generation)
    while True:
        fresh = [chunk(os.urandom(80_000)) for _ in range(3)]
        wanted = [*writer.references[-4:], *(item for item, _ in fresh)]
        assert (await writer.commit(chunks=fresh, references=wanted)).answer.value == "OK"
        await store.sweep_chunks()
        print(writer.seq, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


async def killed_writer(url: str, folder: str, session: str) -> int:
    """Commit and sweep until killed, at a random moment after the first commit; the last seq that was told."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    writer = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WRITER, url, folder, session), stdout=asyncio.subprocess.PIPE, env=environment
    )
    assert writer.stdout is not None
    first = await asyncio.wait_for(writer.stdout.readline(), 60)
    await asyncio.sleep(random.uniform(0, 0.1))
    writer.kill()
    rest = await writer.stdout.read()
    await writer.wait()
    return int((first + rest).split(b"\n")[-2])


async def test_every_kept_state_is_whole_after_each_kill(tmp_path):
    """And once the strays are swept, the folder has the objects that are named, and no other."""
    server = RedisServer(next(iter(binaries().values())), tmp_path)
    blobs, session = FolderBlobs(tmp_path / "blobs"), fresh_session()
    # Whatever is there when the writers are gone is old enough.
    store = RedisStore(
        server.url, blobs=blobs, limits=StoreLimits(states_kept=KEPT, object_grace_s=-1, chunk_grace_s=0)
    )
    try:
        await store.create(session, POLICY)
        for _ in range(KILLS):
            told = await killed_writer(server.url, str(tmp_path / "blobs"), session)
            kept = (await store.kept_states(session)).seqs
            assert kept[-1] >= told
            states = [await store.checkpoint(session, seq) for seq in kept]
            wanted = {item for state in states for item in state.references}
            assert (await store.chunks(session, list(wanted))).keys() == wanted
        await store.sweep_chunks()
        names = [name async for name in blobs.names("")]
        assert sorted(name.split("/")[1].split("-")[0] for name in names) == sorted(item.hex() for item in wanted)
        assert (await store.chunks(session, list(wanted))).keys() == wanted
    finally:
        await store.close()
        await blobs.close()
        server.kill()
