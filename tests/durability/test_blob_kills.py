"""Blobs in a folder when the process that writes them is killed with -9: each is there as a whole, or absent."""

import hashlib
import os
import random
import subprocess
import sys
import time

import pytest

from orchestrator.stores import blobs_folder
from orchestrator.stores.blobs_folder import FolderBlobs
from replwire.errors import WireError

KILLS = 25
BYTES = 400_000

WRITER = f"""
import asyncio, sys
from pathlib import Path
from orchestrator.stores.blobs_folder import FolderBlobs

async def main(root, seed):
    blobs = FolderBlobs(Path(root))
    async def write(worker):
        for number in range(10_000):
            data = (b"%d %d %d " % (seed, worker, number) * {BYTES})[:{BYTES}]
            name = f"{{seed}}/{{worker}}-{{number}}"
            await blobs.put(name, data)
            print(name, flush=True)
    await asyncio.gather(*map(write, range(4)))

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def killed_writer(root, seed: int) -> list[str]:
    """Write until killed, at a random moment after the first object; the names that were told as durable."""
    command = [sys.executable, "-c", WRITER, str(root), str(seed)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as writer:
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(random.uniform(0, 0.05))
        writer.kill()
        return (first + writer.stdout.read()).split("\n")[:-1]


async def test_a_killed_writer_leaves_whole_objects_only(tmp_path):
    """What was told as durable is there; what is there is whole; and nothing half-written is ever listed."""
    blobs = FolderBlobs(tmp_path / "blobs")
    told = [name for seed in range(KILLS) for name in killed_writer(tmp_path / "blobs", seed)]
    found = [name async for name in blobs.names("")]
    assert set(told) <= set(found)
    assert len(told) >= KILLS
    for name in found:
        seed, _, rest = name.partition("/")
        text = f"{seed} {rest.replace('-', ' ')} ".encode()
        expected = (text * BYTES)[:BYTES]
        data = await blobs.get(name)
        assert data is not None
        assert hashlib.sha256(data).digest() == hashlib.sha256(expected).digest()
    await blobs.close()


async def test_what_a_kill_left_goes_when_it_is_old(tmp_path, monkeypatch):
    """And not while somebody may be writing it."""
    blobs = FolderBlobs(tmp_path)
    await blobs.put("a/whole", b"whole")
    half = tmp_path / "a" / f"{blobs_folder._UNFINISHED}0f0f"
    half.write_bytes(b"half")
    assert [name async for name in blobs.names("")] == ["a/whole"]
    assert half.exists()
    os.utime(half, (time.time() - blobs_folder.LEFT_OVER_S - 1,) * 2)
    assert [name async for name in blobs.names("a/")] == ["a/whole"]
    assert not half.exists()
    await blobs.close()


async def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    """As a store that is away, with the reason."""
    (tmp_path / "file").write_bytes(b"no folder")
    blobs = FolderBlobs(tmp_path / "file" / "blobs")
    for call in (blobs.put("a", b"data"), blobs.get("a"), blobs.delete("a")):
        with pytest.raises(WireError, match="the blob store is away") as caught:
            await call
        assert (caught.value.code, caught.value.details["cause"]) == ("store_unavailable", "Not a directory")
        assert caught.value.retry_after_ms
    await blobs.close()


async def test_a_folder_that_hangs_is_told_in_time(tmp_path):
    """As a store that is away; what was begun ends by itself, whole."""
    blobs = FolderBlobs(tmp_path, deadline_s=0)
    with pytest.raises(WireError) as caught:
        await blobs.put("a", b"data")
    assert (caught.value.code, caught.value.details["cause"]) == ("store_unavailable", "timeout")
    await blobs.close()
