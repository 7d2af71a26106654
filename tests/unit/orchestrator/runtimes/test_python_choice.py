"""Which Python a sandbox gets: the first that its uid can reach."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.runtimes import python_choice
from orchestrator.runtimes.python_choice import NoPythonError, PythonChoice, choose_python, first_closed, open_to_all


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Path]:
    """A server's own Python and a system's, both scripts that say what a Python of that place would."""
    # Folders of tests are closed to others; what is looked at here starts below them.
    monkeypatch.setattr(python_choice, "first_closed", lambda *paths: first_closed_below(tmp_path, *paths))
    own, system = tmp_path / "own", tmp_path / "system"
    for prefix in (own, system):
        speaking(prefix, "3.11")
    monkeypatch.setattr(sys, "base_prefix", str(own))
    monkeypatch.setattr(python_choice, "SYSTEM", python_in(system))
    return {"own": own, "system": system, "copies": tmp_path / "copies"}


def first_closed_below(root: Path, *paths: Path) -> Path | None:
    """As `first_closed`, the folders above the root taken as open."""
    steps = (step for path in paths for step in (path, *path.parents) if step.is_relative_to(root) and step != root)
    return next((step for step in steps if not step.stat().st_mode & 0o001), None)


def python_in(prefix: Path) -> Path:
    """The program."""
    return prefix / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"


def speaking(prefix: Path, version: str) -> None:
    """A program that answers as that version would."""
    program = python_in(prefix)
    program.parent.mkdir(parents=True, exist_ok=True)
    major, minor = version.split(".")
    program.write_text(f"#!/bin/sh\nprintf '%s\\n%s\\n%s\\n' {major} {minor} {prefix}\n")
    for path in (prefix, program.parent, program):
        path.chmod(0o755)


def test_the_servers_own_comes_first(places: dict[str, Path]) -> None:
    """The same version, and what the operator has chosen."""
    chosen = choose_python(None, places["copies"], other_uid=True)
    assert chosen == PythonChoice(python_in(places["own"]), places["own"], (3, 11), "the server's own")


@pytest.mark.parametrize("closed", ["", "bin", "program"])
def test_one_that_others_cannot_reach_is_passed_over(places: dict[str, Path], closed: str) -> None:
    """Whether a folder or the program itself is closed; root's home often is."""
    program = python_in(places["own"])
    {"": places["own"], "bin": program.parent, "program": program}[closed].chmod(0o700)
    assert choose_python(None, places["copies"], other_uid=True).why == "the system's"


def test_its_owner_can_reach_it(places: dict[str, Path]) -> None:
    """A server that is not root starts workers as itself."""
    places["own"].chmod(0o700)
    assert choose_python(None, places["copies"], other_uid=False).why == "the server's own"


def test_one_whose_folder_holds_the_servers_is_passed_over(places: dict[str, Path]) -> None:
    """All of its folder is shown to workers; the server's keys may lie in it, and the whole host in that of `/bin`."""
    kept = places["own"] / "state" / "python"
    assert choose_python(None, kept, other_uid=False).why == "the system's"
    with pytest.raises(NoPythonError, match="workers would see all of it"):
        choose_python(python_in(places["own"]), kept, other_uid=False)


def test_one_that_is_too_old_is_passed_over(places: dict[str, Path]) -> None:
    """The worker needs 3.11."""
    speaking(places["own"], "3.10")
    assert choose_python(None, places["copies"], other_uid=True).why == "the system's"


def test_one_that_is_set_is_taken(places: dict[str, Path]) -> None:
    """Before all others."""
    chosen = choose_python(python_in(places["system"]), places["copies"], other_uid=True)
    assert (chosen.prefix, chosen.why) == (places["system"], "it was set (bubblewrap.python)")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda prefix: python_in(prefix).unlink(), "can't be run"),
        (lambda prefix: speaking(prefix, "3.9"), "3.11 is the least"),
        (lambda prefix: prefix.chmod(0o750), "is closed to them"),
    ],
    ids=["absent", "old", "closed"],
)
def test_one_that_is_set_and_cannot_be_used_is_told(places: dict[str, Path], spoil, words: str) -> None:
    """Nothing else is taken in its place."""
    spoil(places["system"])
    with pytest.raises(NoPythonError, match=words):
        choose_python(python_in(places["system"]), places["copies"], other_uid=True)


def test_a_system_python_needs_no_mount_of_its_own() -> None:
    """What lies below /usr is in every sandbox."""
    if not python_choice.SYSTEM.exists():
        pytest.skip("no system Python")
    chosen = choose_python(python_choice.SYSTEM, Path("/absent"), other_uid=False)
    assert chosen.prefix is None
    assert chosen.libraries is None


def test_the_last_resort_is_a_copy(places: dict[str, Path]) -> None:
    """Made once, whole, open to all, whatever the umask; it is called with its own libraries."""
    places["own"].chmod(0o700)
    places["system"].chmod(0o700)
    (places["own"] / "lib").mkdir(mode=0o700)
    (places["own"] / "lib" / "libpython.so").write_text("library")
    before = os.umask(0o077)
    try:
        chosen = choose_python(None, places["copies"], other_uid=True)
    finally:
        os.umask(before)
    assert chosen.is_copy
    assert chosen.prefix is not None
    assert chosen.prefix.parent == places["copies"]
    assert chosen.libraries == chosen.prefix / "lib"
    assert chosen.words == ("env", f"LD_LIBRARY_PATH={chosen.prefix}/lib", str(chosen.program))
    for path in (places["copies"], chosen.prefix, *chosen.prefix.rglob("*")):
        assert path.stat().st_mode & 0o004, path
    assert os.access(chosen.program, os.X_OK)
    assert choose_python(None, places["copies"], other_uid=True) == chosen
    assert list(places["copies"].iterdir()) == [chosen.prefix]


def test_nothing_is_copied_to_answer_a_question(places: dict[str, Path]) -> None:
    """`doctor` says that a copy will be made."""
    places["own"].chmod(0o700)
    places["system"].chmod(0o700)
    assert "a copy" in choose_python(None, places["copies"], other_uid=True, may_copy=False).why
    assert not places["copies"].exists()


def test_a_copy_that_cannot_be_made_leaves_nothing(places: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what went wrong."""
    places["own"].chmod(0o700)
    places["system"].chmod(0o700)

    def full(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("shutil.copytree", full)
    with pytest.raises(NoPythonError, match="no space left"):
        choose_python(None, places["copies"], other_uid=True)
    assert list(places["copies"].iterdir()) == []


def test_the_first_closed_step_is_named(tmp_path: Path) -> None:
    """From the place upwards."""
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    (tmp_path / "outer").chmod(0o700)
    assert first_closed(inner) == tmp_path / "outer"
    assert first_closed(Path("/usr")) is None


def test_links_are_not_followed_when_a_folder_is_opened(tmp_path: Path) -> None:
    """A copy may have links out of itself."""
    outside = tmp_path / "outside"
    outside.write_text("closed")
    outside.chmod(0o600)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    open_to_all(folder)
    assert outside.stat().st_mode & 0o777 == 0o600


def test_a_choice_can_be_called() -> None:
    """The words of a real one run it."""
    chosen = choose_python(None, Path("/absent"), other_uid=False)
    said = subprocess.run([*chosen.words, "-I", "-c", "print(6 * 7)"], capture_output=True, check=True)
    assert said.stdout == b"42\n"
