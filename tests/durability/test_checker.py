"""The checker rejects each planted history by the name of what was planted, and passes the clean one."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from durability.checker import check, main
from durability.history import HistoryError, Recorder, read_history
from durability.planting import PLANTED, Story, acknowledged, clean, loss, operation, regress, state


def _written(path: Path, story: Story) -> Path:
    recorder = Recorder(path, "planted", 7, story["header"]["allows"])
    for item in story["observation"]:
        item.setdefault("file", item["list"])
    for record in ("operation", "event", "fault", "observation"):
        for item in story[record]:
            recorder.add(record, **item)
    recorder.close()
    return path


def _found(tmp_path: Path, story: Story) -> set[str]:
    return {finding.name for finding in check(read_history(_written(tmp_path / "history", story)))}


def test_a_clean_history_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Nothing is found, and the program says so with 0."""
    path = _written(tmp_path / "history", clean())

    assert check(read_history(path)) == []
    assert main([str(path)]) == 0
    assert "nothing is wrong: 6 operations, 3 acknowledged, 1 faults, 1 sessions" in capsys.readouterr().out


@pytest.mark.parametrize(("plant", "names"), PLANTED, ids=[plant.__name__.strip("_") for plant, _ in PLANTED])
def test_a_planted_history_is_rejected_by_name(tmp_path: Path, plant: Callable[[Story], None], names: set[str]):
    """The first name is that of what was planted; it may break other rules too, and those are named as well."""
    story = clean()
    plant(story)

    assert _found(tmp_path, story) == names
    assert main([str(tmp_path / "history")]) == 1


def test_a_client_that_comes_back_hears_of_what_it_saw_of_older_generations_only(tmp_path: Path):
    """Its cursor may be older than what it was told out of the store: the state and the journal decide then."""
    story = clean()
    story["event"][3].update(to=3, attaching=True)

    assert _found(tmp_path, story) == set()


@pytest.mark.parametrize(("allows", "found"), [(["session_regressed"], set()), ([], {"cursor_order"})])
def test_a_store_that_went_back_counts_generations_again(tmp_path: Path, allows: list[str], found: set[str]):
    """Where the campaign makes it go back, and the client was told."""
    story = clean()
    story["header"]["allows"] = allows
    story["event"][3:] = [
        {**story["event"][3], "cause": "session_regressed"}, {**story["event"][1], "at": 650},
    ]  # fmt: skip

    assert _found(tmp_path, story) == found


def test_a_loss_is_excused_only_by_a_regress_that_the_campaign_makes_and_a_client_heard_later(tmp_path: Path):
    """A store that was cut is allowed to lose, aloud."""
    story = clean()
    loss(story)
    state(story)["journal"] = [[1, "setup-s0"], [2, "c0-2"], [3, "c0-5"]]
    story["header"]["allows"] = ["session_regressed"]
    assert "lost" in _found(tmp_path, story)

    regress(story)
    assert _found(tmp_path, story) == set()


def test_between_two_regresses_a_number_is_not_given_twice_in_silence(tmp_path: Path):
    """The first time the store went back nobody was told; that the second time was told does not excuse it."""
    story = clean()
    story["header"]["allows"] = ["session_regressed"]
    story["operation"][5:] = [
        operation(6, {**acknowledged(4), "etag": "another"}),
        operation(7, {"state": "error", "code": "session_regressed"}),
    ]
    state(story).update(list=["c0-2", "c0-3"], counter=2, seq=3, etag="etag-3")
    del state(story)["journal"][3:]

    assert _found(tmp_path, story) == {"sequence", "two_etags"}


@pytest.mark.parametrize("keep", [0, 1, 5, -1], ids=["nothing", "header", "half", "no_end"])
def test_a_file_that_is_empty_or_cut_is_an_error_and_no_pass(tmp_path: Path, keep: int):
    """Status 2, which is neither pass nor finding."""
    path = _written(tmp_path / "history", clean())
    path.write_text("".join(itertools.chain(path.read_text().splitlines(keepends=True)[:keep])))

    with pytest.raises(HistoryError):
        read_history(path)
    assert main([str(path)]) == 2


@pytest.mark.parametrize(
    "line",
    ["{", "[]", '{"record":"rumour"}', '{"record":"fault","at":"soon","what":"x"}',
     '{"record":"operation","client":"c","session":"s","connection":1,"id":"i","begin":1,"end":2,"outcome":{"state":"?"}}',
     '{"record":"operation","client":"c","session":"s","connection":1,"id":"i","begin":1,"end":2,'
     '"outcome":{"state":"committed","seq":1}}'],
)  # fmt: skip
def test_a_line_that_is_no_record_is_an_error(tmp_path: Path, line: str):
    """It says which line."""
    path = _written(tmp_path / "history", clean())
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], line, *lines[4:]]))

    with pytest.raises(HistoryError, match="line 4"):
        read_history(path)


def test_the_checker_is_a_program_of_its_own(tmp_path: Path):
    """It needs the file and nothing else: no test runner, no server."""
    story = clean()
    loss(story)
    path = _written(tmp_path / "history", story)
    words = [sys.executable, "-m", "tests.durability.checker", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=60)

    assert done.returncode == 1
    assert "lost: s0: c0-3 was acknowledged as 3 and is not in the list" in done.stdout
