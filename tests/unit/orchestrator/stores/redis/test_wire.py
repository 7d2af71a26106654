"""Packing, and the scripts that lie beside the code."""

import hashlib
import re
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.stores.redis import wire
from orchestrator.stores.redis.wire import PROTOCOL, connections, run, script

FILES = [path.name for path in resources.files("orchestrator.stores.redis").iterdir()]
LUA = sorted(name.removesuffix(".lua") for name in FILES if name.endswith(".lua"))
SCRIPTS = [name for name in LUA if not name.startswith("lib_")]
LIBRARIES = [name for name in LUA if name.startswith("lib_")]
CALLED = re.compile(r"redis\.call\('\w+', *([^,)]+)")
ARGUMENTS = st.one_of(st.binary(max_size=50), st.text(max_size=20), st.integers(-(2**40), 2**40))


def text_of(name: str) -> str:
    """A file as it is."""
    return resources.files("orchestrator.stores.redis").joinpath(f"{name}.lua").read_text()


@given(st.lists(ARGUMENTS, min_size=1, max_size=6))
def test_the_plain_packer_writes_what_the_fast_one_writes(arguments):
    """With hiredis or without, the server reads the same."""
    command = tuple(arguments)
    assert wire._pack_plain(command) == wire.pack(command)


def test_a_script_is_called_by_its_hash():
    """As the server names it."""
    source = resources.files("orchestrator.stores.redis").joinpath("raise.lua").read_bytes()
    sha = hashlib.sha1(source).hexdigest().encode()
    assert run("raise", (b"k",), (b"a", 1)) == (b"EVALSHA", sha, 1, b"k", b"a", 1)


def test_every_script_says_what_it_takes_and_answers():
    """Each has a header for keys and answers, and one for arguments if it has any; no key is made up inside. What is
    included takes keys as arguments."""
    assert {"commit", "create", "raise", "publish", "end", "touch", "condemn"} <= set(SCRIPTS)
    for name in SCRIPTS:
        source = text_of(name)
        assert source.startswith("#!lua")
        assert "-- KEYS: 1 " in source
        assert "-- Answers" in source
        assert ("ARGV[" in source) == ("-- ARGV: " in source), name
        for called in CALLED.findall(source):
            assert called.startswith("KEYS["), (name, called)
    for name in LIBRARIES:
        for function in text_of(name).split("local function ")[1:]:
            parameters = function[function.index("(") + 1 : function.index(")")].split(", ")
            assert set(CALLED.findall(function)) <= set(parameters), name


def test_a_script_has_the_functions_that_it_includes():
    """In the place of the line that names them; a library that nobody includes is none."""
    included = {f"lib_{name}" for found in SCRIPTS for name in re.findall(r"-- @include (\w+)", text_of(found))}
    assert included == set(LIBRARIES)
    for name in SCRIPTS:
        assert b"@include" not in script(name).source
    assert text_of("lib_counts") in script("commit").source.decode()


def test_the_library_repeats_nothing_and_times_nothing_out():
    """Deadlines are ours, one for an exchange; an answer that was lost is asked for by us."""
    pool = connections("redis://user@redis.example:6380/3", "secret")
    settings = pool.connection_kwargs
    assert settings["retry"].get_retries() == 0
    assert settings["socket_timeout"] is None
    assert (settings["protocol"], settings["driver_info"]) == (PROTOCOL, None)
    assert (settings["username"], settings["password"], settings["db"]) == ("user", "secret", 3)


@pytest.mark.parametrize("url", ["redis://host:6379/notadb", "rediss://host/1/2", "redis://host/-1", "redis://host/²"])
def test_a_database_that_is_no_number_is_refused(url):
    """The library would take 0, which may hold somebody else's data."""
    with pytest.raises(ValueError, match="the database is a number"):
        connections(url)


@pytest.mark.parametrize(
    ("url", "database"),
    [("redis://host", 0), ("redis://host/", 0), ("redis://host/3", 3), ("unix:///run/a.sock?db=2", 2)],
)
def test_a_database_is_named_by_its_number(url, database):
    """In the path, or in the query where the path is the socket's."""
    assert connections(url).connection_kwargs.get("db", 0) == database
