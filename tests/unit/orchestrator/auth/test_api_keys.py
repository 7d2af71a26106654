"""The operator's list of keys: what opens the door, what does not, and how a change takes effect."""

import json
import tomllib
from pathlib import Path

import pytest
import structlog
from pydantic import ValidationError

from orchestrator.auth.api_keys import (
    ApiKeys,
    append_entry,
    entry_text,
    new_key,
    read_keys,
)
from orchestrator.auth.rereading import LOOK_AGAIN_S, AuthFileError
from replwire.errors import WireError


class Ticking:
    """A clock that is moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the list lies."""
    return tmp_path / "keys.toml"


def refuses(keys: ApiKeys, token: str) -> bool:
    """Whether a token is refused."""
    try:
        keys.authenticate(token)
    except WireError as error:
        assert (error.code, error.message) == ("unauthenticated", "no valid token")
        return True
    return False


def test_a_key_opens_the_door_for_its_tenant(path: Path) -> None:
    """The Principal is what the entry says; the key itself is nowhere in the file."""
    key, entry = new_key("acme", "ci")
    append_entry(path, entry)
    principal = ApiKeys(path).authenticate(key)
    assert (principal.tenant, principal.subject) == ("acme", "ci")
    assert principal.scopes == {"eval", "files", "observe"}
    assert key not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_limits_of_an_entry_reach_the_principal(path: Path) -> None:
    """And JSON works as well as TOML."""
    key, entry = new_key("acme", "ci", ("eval",))
    as_json = path.with_suffix(".json")
    as_json.write_text(json.dumps({"keys": [{**entry.model_dump(), "limits": {"eval_timeout_s": 3}}]}))
    principal = ApiKeys(as_json).authenticate(key)
    assert principal.limits == {"eval_timeout_s": 3}
    assert principal.scopes == {"eval"}


@pytest.mark.parametrize("wrong", ["", "bsk_", "x", "\ud800", "\0", "é" * 100, "bsk_" + "A" * 43])
def test_other_tokens_are_refused_alike(path: Path, wrong: str) -> None:
    """Whatever is shown, the words are the same."""
    append_entry(path, new_key("acme", "ci")[1])
    assert refuses(ApiKeys(path), wrong)


def test_neither_the_hash_nor_a_part_of_the_key_is_a_key(path: Path) -> None:
    """Who has read the file has nothing."""
    key, entry = new_key("acme", "ci")
    append_entry(path, entry)
    keys = ApiKeys(path)
    assert all(refuses(keys, token) for token in (entry.sha256, key[:-1], key + "A", key.lower()))


def test_a_change_takes_effect_soon(path: Path) -> None:
    """A key that is added, disabled or removed is so after one look at the most."""
    clock = Ticking()
    first, entry = new_key("acme", "one")
    append_entry(path, entry)
    keys = ApiKeys(path, monotonic=clock)
    second, other = new_key("acme", "two")
    append_entry(path, other)
    assert refuses(keys, second)
    clock.now += LOOK_AGAIN_S
    assert not refuses(keys, second)
    path.write_text(f"{entry_text(entry)}disabled = true\n")
    clock.now += LOOK_AGAIN_S
    assert refuses(keys, first)
    assert refuses(keys, second)


@pytest.mark.parametrize("content", ["[[keys]", "[[keys]]\nid = 3", None])
def test_a_broken_file_leaves_the_last_good_list_in_force(path: Path, content: str | None) -> None:
    """A slip of the editor does not lock everyone out."""
    clock = Ticking()
    key, entry = new_key("acme", "one")
    append_entry(path, entry)
    keys = ApiKeys(path, monotonic=clock)
    path.unlink()
    if content is not None:
        path.write_text(content)
    clock.now += LOOK_AGAIN_S
    assert not refuses(keys, key)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("keys = 3", "keys"),
        ("[[keys]]\nid = 'a'", "tenant"),
        ("[[keys]]\nid='a'\ntenant='t'\nsubject='s'\nsha256='abc'", "sha256"),
        (f"[[keys]]\nid='a'\ntenant='t'\nsubject='s'\nsha256='{'a' * 64}'\nscopes=['root']", "scopes"),
        (f"[[keys]]\nid='a'\ntenant='t'\nsubject='s'\nsha256='{'a' * 64}'\nlimits={{nothing=1}}", "nothing"),
        (f"[[keys]]\nid='a'\ntenant='../t'\nsubject='s'\nsha256='{'a' * 64}'", "tenant"),
        (f"[[keys]]\nid='a'\ntenant='t'\nsubject='s'\nsha256='{'a' * 64}'\n" * 2, "same id"),
        ("other = 1", "other"),
        ("\xff", "keys.toml"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused_with_its_reason(path: Path, content: str, words: str) -> None:
    """At start a mistake is an error that names the field, and never a server that lets nobody in."""
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(AuthFileError, match=words):
        ApiKeys(path)


def test_no_file_is_an_error(path: Path) -> None:
    """A wrong path is told at start."""
    with pytest.raises(AuthFileError, match="No such file"):
        ApiKeys(path)


def test_an_entry_is_what_the_file_says(path: Path) -> None:
    """What is printed can be read back."""
    _, entry = new_key("acme", "ci")
    assert tomllib.loads(entry_text(entry))["keys"][0]["sha256"] == entry.sha256
    append_entry(path, entry)
    assert read_keys(path) == (entry,)


@pytest.mark.parametrize("name", ["", "a b", 'a"b', "a\nb", "../x", "x" * 200])
def test_odd_names_are_refused(name: str) -> None:
    """A tenant becomes part of log lines and keys."""
    with pytest.raises(ValidationError):
        new_key(name, "ci")


def test_nothing_is_added_to_a_file_that_cannot_be_read(path: Path) -> None:
    """A broken list is not made longer."""
    path.write_text("[[keys]")
    with pytest.raises(AuthFileError):
        append_entry(path, new_key("acme", "ci")[1])
    assert path.read_text() == "[[keys]"


def test_a_file_that_would_break_is_not_added_to(path: Path) -> None:
    """`keys = []` and an entry behind it are no TOML: the list in force would be refused at the next look."""
    path.write_text("keys = []\n")
    with pytest.raises(AuthFileError, match=r"keys\.toml"):
        append_entry(path, new_key("acme", "ci")[1])
    assert path.read_text() == "keys = []\n"


def test_a_file_over_the_limit_is_refused_and_never_read_in_part(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a list would lock the other half out in silence."""
    append_entry(path, new_key("acme", "ci")[1])
    monkeypatch.setattr("orchestrator.auth.rereading.FILE_BYTES_MAX", path.stat().st_size)
    assert len(read_keys(path)) == 1
    path.write_text(path.read_text() + "\n")
    with pytest.raises(AuthFileError, match="over"):
        read_keys(path)


@pytest.mark.parametrize("disabled", [True, None], ids=["disabled", "absent"])
def test_a_list_without_a_key_in_force_is_warned_of(path: Path, disabled: bool | None) -> None:
    """It is no mistake, keys may come; but whoever wonders why nobody gets in finds it in the log."""
    path.write_text(entry_text(new_key("acme", "ci")[1]) + "disabled = true\n" if disabled else "")
    with structlog.testing.capture_logs() as logged:
        ApiKeys(path)
    assert [(entry["event"], entry["file"]) for entry in logged] == [("keys missed", str(path))]
