"""The checker rejects each planted history by the name of what was planted, and passes the clean one."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from durability.checker import check, main
from durability.history import HistoryError, Recorder, read_history

Story = dict[str, Any]


def _acknowledged(n: int) -> dict[str, Any]:
    output = str(n - 1)
    return {"state": "committed", "seq": n, "etag": f"etag-{n}", "durable": "fsync", "output": output}


def _operation(number: int, outcome: dict[str, Any], id_: str | None = None) -> dict[str, Any]:
    begin = 100 * number
    who = {"client": "c0", "session": "s0", "connection": 1, "id": id_ or f"c0-{number}"}
    return {**who, "begin": begin, "end": begin + 50, "outcome": outcome}


def _event(at: int, type_: str, **more: Any) -> dict[str, Any]:
    return {"client": "c0", "session": "s0", "connection": 1, "at": at, "type": type_, **more}


def _clean() -> Story:
    """Setup is number 1, three evals are 2 to 4; the second was lost at first; the third kept, then committed."""
    return {
        "header": {"allows": []},
        "operation": [
            _operation(1, _acknowledged(1), "setup-s0"),
            _operation(2, _acknowledged(2)),
            _operation(3, {"state": "lost"}),
            _operation(4, {**_acknowledged(3)}, "c0-3"),
            _operation(5, {"state": "kept"}),
            _operation(6, {"state": "error", "code": "worker_died"}),
        ],
        "event": [
            _event(210, "cursor", cursor="1.1"),
            _event(410, "cursor", cursor="1.2"),
            _event(560, "committed", target="c0-5", seq=4, etag="etag-4", durable="fsync"),
            _event(640, "rolled_back", to=4, attaching=False),
            _event(650, "cursor", cursor="2.0"),
        ],
        "fault": [{"at": 330, "what": "server killed"}],
        "observation": [
            {
                "session": "s0", "list": ["c0-2", "c0-3", "c0-5"], "counter": 3, "seq": 4, "etag": "etag-4",
                "journal": [[1, "setup-s0"], [2, "c0-2"], [3, "c0-3"], [4, "c0-5"]],
            }
        ],
    }  # fmt: skip


def _written(path: Path, story: Story) -> Path:
    recorder = Recorder(path, "planted", 7, story["header"]["allows"])
    for record in ("operation", "event", "fault", "observation"):
        for item in story[record]:
            recorder.add(record, **item)
    recorder.close()
    return path


def _found(tmp_path: Path, story: Story) -> set[str]:
    return {finding.name for finding in check(read_history(_written(tmp_path / "history", story)))}


def test_a_clean_history_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Nothing is found, and the program says so with 0."""
    path = _written(tmp_path / "history", _clean())

    assert check(read_history(path)) == []
    assert main([str(path)]) == 0
    assert "nothing is wrong: 6 operations, 3 acknowledged, 1 faults, 1 sessions" in capsys.readouterr().out


def _loss(story: Story) -> None:
    _state(story)["list"].remove("c0-3")
    _state(story)["counter"] = 2


def _double(story: Story) -> None:
    _state(story)["list"].append("c0-3")
    _state(story)["counter"] = 4


def _reorder(story: Story) -> None:
    _state(story)["list"][:2] = ["c0-3", "c0-2"]


def _reorder_in_time(story: Story) -> None:
    """Its number is not known, only when it was sent."""
    story["operation"][2]["outcome"] = story["operation"][3]["outcome"] = {"state": "lost"}
    _reorder(story)


def _phantom(story: Story) -> None:
    _state(story)["list"].append("c0-99")
    _state(story)["counter"] = 4


def _wrong_counter(story: Story) -> None:
    _state(story)["counter"] = 4


def _other_journal(story: Story) -> None:
    _state(story)["journal"][2][1] = "c0-5"


def _hole_in_the_journal(story: Story) -> None:
    del _state(story)["journal"][1]


def _other_output(story: Story) -> None:
    story["operation"][1]["outcome"]["output"] = "2"


def _told_undone(story: Story) -> None:
    _state(story)["list"].append("c0-6")
    _state(story)["counter"] = 4


def _told_not_started(story: Story) -> None:
    story["operation"][5]["outcome"]["code"] = "store_unavailable"
    _told_undone(story)


def _two_etags(story: Story) -> None:
    story["event"][2]["etag"] = "another"


def _two_owners(story: Story) -> None:
    story["operation"][3]["outcome"]["seq"] = 2


def _two_numbers(story: Story) -> None:
    story["operation"].append(_operation(7, _acknowledged(7), "c0-3"))


def _older_number(story: Story) -> None:
    story["operation"].append(_operation(7, _acknowledged(0)))


def _weak(story: Story) -> None:
    story["operation"][1]["outcome"]["durable"] = "none"


def _silent(story: Story) -> None:
    story["operation"][5]["outcome"] = {"state": "unanswered"}


def _one_more_answer(story: Story) -> None:
    story["event"].append(_event(700, "answer", id="c0-3"))


def _fault_of_ours(story: Story) -> None:
    story["operation"][5]["outcome"]["code"] = "internal"


def _regress(story: Story) -> None:
    story["operation"][5]["outcome"]["code"] = "session_regressed"


def _roll_back(story: Story) -> None:
    story["event"][3]["to"] = 3


def _cursor_again(story: Story) -> None:
    story["event"].append(_event(700, "cursor", cursor="1.2"))


def _nobody_looked(story: Story) -> None:
    story["observation"].clear()


def _nothing_done(story: Story) -> None:
    story["operation"] = [_operation(3, {"state": "lost"})]
    story["event"].clear()
    _state(story).update(list=[], counter=0, journal=[], seq=0, etag="")


def _state(story: Story) -> dict[str, Any]:
    state: dict[str, Any] = story["observation"][0]
    return state


PLANTED = [
    (_loss, {"lost", "journal"}), (_double, {"doubled", "journal", "disagrees", "reordered"}),
    (_reorder, {"reordered", "journal", "disagrees"}), (_reorder_in_time, {"reordered", "journal", "disagrees"}),
    (_phantom, {"phantom", "journal"}), (_wrong_counter, {"counter"}), (_other_journal, {"journal"}),
    (_hole_in_the_journal, {"journal"}), (_other_output, {"disagrees"}), (_told_undone, {"undone", "journal"}),
    (_told_not_started, {"undone", "journal"}), (_two_etags, {"two_etags"}),
    (_two_owners, {"sequence", "reordered", "two_etags"}), (_two_numbers, {"sequence", "reordered", "disagrees"}),
    (_older_number, {"sequence", "lost"}), (_weak, {"not_durable"}), (_silent, {"unanswered"}),
    (_one_more_answer, {"answered_twice"}), (_fault_of_ours, {"refused"}), (_regress, {"refused"}),
    (_roll_back, {"rolled_back"}), (_cursor_again, {"cursor_order"}), (_nobody_looked, {"unobserved"}),
    (_nothing_done, {"unobserved"}),
]  # fmt: skip


@pytest.mark.parametrize(("plant", "names"), PLANTED, ids=[plant.__name__.strip("_") for plant, _ in PLANTED])
def test_a_planted_history_is_rejected_by_name(tmp_path: Path, plant: Callable[[Story], None], names: set[str]):
    """The first name is that of what was planted; it may break other rules too, and those are named as well."""
    story = _clean()
    plant(story)

    assert _found(tmp_path, story) == names
    assert main([str(tmp_path / "history")]) == 1


def test_a_client_that_comes_back_hears_of_what_it_saw_of_older_generations_only(tmp_path: Path):
    """Its cursor may be older than what it was told out of the store: the state and the journal decide then."""
    story = _clean()
    story["event"][3].update(to=3, attaching=True)

    assert _found(tmp_path, story) == set()


def test_a_loss_is_excused_only_by_a_regress_that_the_campaign_makes_and_a_client_heard_later(tmp_path: Path):
    """A store that was cut is allowed to lose, aloud."""
    story = _clean()
    _loss(story)
    _state(story)["journal"] = [[1, "setup-s0"], [2, "c0-2"], [3, "c0-5"]]
    story["header"]["allows"] = ["session_regressed"]
    assert "lost" in _found(tmp_path, story)

    _regress(story)
    assert _found(tmp_path, story) == set()


def test_between_two_regresses_a_number_is_not_given_twice_in_silence(tmp_path: Path):
    """The first time the store went back nobody was told; that the second time was told does not excuse it."""
    story = _clean()
    story["header"]["allows"] = ["session_regressed"]
    story["operation"][5:] = [
        _operation(6, {**_acknowledged(4), "etag": "another"}),
        _operation(7, {"state": "error", "code": "session_regressed"}),
    ]
    _state(story).update(list=["c0-2", "c0-3"], counter=2, seq=3, etag="etag-3")
    del _state(story)["journal"][3:]

    assert _found(tmp_path, story) == {"sequence", "two_etags"}


@pytest.mark.parametrize("keep", [0, 1, 5, -1], ids=["nothing", "header", "half", "no_end"])
def test_a_file_that_is_empty_or_cut_is_an_error_and_no_pass(tmp_path: Path, keep: int):
    """Status 2, which is neither pass nor finding."""
    path = _written(tmp_path / "history", _clean())
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
    path = _written(tmp_path / "history", _clean())
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], line, *lines[4:]]))

    with pytest.raises(HistoryError, match="line 4"):
        read_history(path)


def test_the_checker_is_a_program_of_its_own(tmp_path: Path):
    """It needs the file and nothing else: no test runner, no server."""
    story = _clean()
    _loss(story)
    path = _written(tmp_path / "history", story)
    words = [sys.executable, "-m", "tests.durability.checker", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=60)

    assert done.returncode == 1
    assert "lost: s0: c0-3 was acknowledged as 3 and is not in the list" in done.stdout
