"""The command line of the benchmark, and the plainest REPL that the others are measured beside."""

import json

import pytest

from loadtests import bench, rounds
from loadtests.contestants.bridge_server import answers
from loadtests.contestants.contestant import Contestant
from loadtests.contestants.plain_repl import evaluate


@pytest.fixture
def one_contestant(monkeypatch):
    """A benchmark of one contestant, called as ours on Docker, that fails as it is told."""

    def install(failing=None):
        async def check():
            pass

        async def warm(sizes):
            if failing is not None:
                raise failing
            return {"start.warm.p50": 2.0}

        monkeypatch.setattr(bench, "CONTESTANTS", (Contestant("bascule docker", check, {"start.warm": warm}),))
        monkeypatch.setattr(rounds, "TASK_TIMEOUT_S", 5.0)

    return install


def ended(words):
    """The exit status."""
    with pytest.raises(SystemExit) as caught:
        bench.main(words)
    return caught.value.code


def test_the_table_goes_to_stdout_and_the_figures_to_a_file(one_contestant, capsys, tmp_path):
    """Progress goes to stderr."""
    one_contestant()
    file = tmp_path / "figures.json"
    assert ended(["--rounds", "2", "--quick", "--json", str(file)]) == 0
    said = capsys.readouterr()
    assert "bascule docker" in said.out and "met" in said.out
    assert "round 2" in said.err and "round 2" not in said.out
    (row,) = json.loads(file.read_text())["rows"]
    assert row["rounds"] == [2.0, 2.0]


def test_what_of_ours_cannot_be_measured_is_a_failure(one_contestant, capsys):
    """A benchmark that measured nothing is no success."""
    one_contestant(failing=ConnectionError("gone"))
    assert ended([]) == 1
    assert "left out: bascule docker, start.warm: gone" in capsys.readouterr().out


def test_ctrl_c_ends_with_the_usual_status(one_contestant, capsys):
    """And after the table of what there is."""
    one_contestant(failing=KeyboardInterrupt())
    assert ended([]) == bench.INTERRUPTED
    said = capsys.readouterr()
    assert "interrupted" in said.err and "goals met: 0" in said.out


@pytest.mark.parametrize(
    "words", [["--only", "speed"], ["--only", "round_tri"], ["--rounds", "0"], ["--contestant", "nobody"]]
)
def test_a_wrong_word_is_refused(words, capsys):
    """Before anything is started."""
    assert ended(words) == 2


def test_contestants_are_named_without_spaces():
    """So that a shell needs no quotes."""
    given = bench._parser().parse_args(["--contestant", "bascule-docker", "websockets-bridge"])
    assert given.contestant == ["bascule docker", "websockets bridge"]


def test_the_plainest_repl_keeps_its_variables():
    """Value, output and error as in a `result`."""
    namespace: dict[str, object] = {}
    assert evaluate("x = 20", namespace)["output"] is None
    assert evaluate("print('p'); x * 2", namespace) == {"output": "40", "stdout": "p\n", "stderr": "", "error": None}
    failed = evaluate("1/0", namespace)
    assert failed["error"] == {"name": "ZeroDivisionError", "message": "division by zero", "traceback": []}
    assert evaluate("x", namespace)["output"] == "20"


def test_the_bridge_streams_when_it_is_asked_to():
    """Output as an event, and none of it in the result."""
    (kind, event), (last, result) = answers("eval", {"code": "print('p')", "stream": True}, {})
    assert (kind, event["text"], last, result["stdout"]) == ("stream", "p\n", "result", "")
    assert answers("open", {}, {}) == [("reply", {})]
