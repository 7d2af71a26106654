"""Every blob store: whole or absent, never another's bytes, listed by prefix."""

import asyncio
import os

import pytest

from orchestrator.stores.blobs_folder import FolderBlobs
from orchestrator.stores.blobs_memory import MemoryBlobs


@pytest.fixture(params=["memory", "folder"])
async def blobs(request, tmp_path):
    """A blob store that is empty."""
    made = MemoryBlobs() if request.param == "memory" else FolderBlobs(tmp_path / "blobs")
    yield made
    await made.close()


async def listed(blobs, prefix=""):
    """The names, in order."""
    return sorted([name async for name in blobs.names(prefix)])


@pytest.mark.parametrize("data", [b"", b"\0", os.urandom(300_000)])
async def test_what_was_put_is_there(blobs, data):
    """Byte for byte; what was not is None."""
    assert await blobs.get("a/b") is None
    await blobs.put("a/b", data)
    assert await blobs.get("a/b") == data
    assert await blobs.get("a/c") is None


async def test_what_is_there_stays_as_it_is(blobs):
    """The same name is the same bytes: nobody replaces an object."""
    await blobs.put("a/b", b"first")
    await blobs.put("a/b", b"second")
    assert await blobs.get("a/b") == b"first"


async def test_names_are_listed_by_prefix(blobs):
    """Also one that ends within a part; nothing for one that nobody has."""
    names = ["aaa/1-x", "aaa/1-y", "aaa/2-x", "aab/1-x", "top"]
    for name in names:
        await blobs.put(name, name.encode())
    assert await listed(blobs) == names
    assert await listed(blobs, "aaa/") == names[:3]
    assert await listed(blobs, "aaa/1") == names[:2]
    assert await listed(blobs, "aa") == names[:4]
    assert await listed(blobs, "zzz/") == []
    assert await listed(blobs, "zzz") == []


async def test_deleting_may_be_repeated(blobs):
    """And leaves the others."""
    await blobs.put("a/b", b"b")
    await blobs.put("a/c", b"c")
    for _ in range(2):
        await blobs.delete("a/b")
    assert await blobs.get("a/b") is None
    assert await listed(blobs) == ["a/c"]
    await blobs.delete("a/c")
    await blobs.put("a/b", b"again")
    assert await blobs.get("a/b") == b"again"


async def test_many_at_once(blobs):
    """Puts, reads and deletions of a folder that comes and goes."""

    async def one(number: int) -> None:
        name, data = f"a/{number % 3}/{number}", b"%d" % number * 1000
        await blobs.put(name, data)
        assert await blobs.get(name) == data
        await blobs.delete(name)

    await asyncio.gather(*(one(number) for number in range(120)))
    assert await listed(blobs) == []


async def test_of_many_that_put_the_same_name_one_is_first(blobs):
    """And all of them see its bytes."""
    datas = [b"%d" % number * 10_000 for number in range(16)]
    await asyncio.gather(*(blobs.put("a/same", data) for data in datas))
    assert await blobs.get("a/same") in datas
    assert await listed(blobs) == ["a/same"]


@pytest.mark.parametrize(
    "name",
    ["", "/", "a/", "/a", "a//b", "../a", "a/../b", ".unfinished-1", "a/.b", "A", "a b", "a\0", "a\n", "a" * 201],
)
async def test_what_is_no_name_goes_nowhere(blobs, name):
    """Refused before anything is touched."""
    for call in (blobs.put(name, b"x"), blobs.get(name), blobs.delete(name)):
        with pytest.raises(ValueError, match="not the name"):
            await call
    assert await listed(blobs) == []
