"""What an eval leaves running writes apart from the evals after it; who redirects the descriptors redirects `print`."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from replwire.frames import NONE, EventKind, Kind
from replworker.agent.text import LATE_END, LATE_HEAD

WRITES = "until [ -e {name} ]; do sleep 0.01; done; echo late; echo odd >&2; touch {name}.done"
LEAVES = {
    "a child": f"import subprocess\np = subprocess.Popen({WRITES!r}.format(name='go'), shell=True)",
    "a grandchild": f"import os\nos.system('(' + {WRITES!r}.format(name='go') + ') &')",
    "a fork": "import os, sys, time\nif not os.fork():\n    while not os.path.exists('go'): time.sleep(0.01)\n"
    "    print('late', flush=True); print('odd', file=sys.stderr); sys.stderr.flush()\n"
    "    open('go.done', 'w').close()",
}
APART = LATE_HEAD + b"%s\n" + LATE_END


def go(folder: Path, name: str = "go") -> None:
    """Let it write, and wait until it has."""
    (folder / name).touch()
    deadline = time.monotonic() + 10
    while not (folder / f"{name}.done").exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("left", LEAVES)
def test_late_output_is_set_apart_from_the_next_text(worker, link, left):
    """It stands in front of it, between marks, and counts as nobody's."""
    link.eval(LEAVES[left])
    go(worker.work_folder)
    outcome = link.eval("print('own')")
    assert outcome.stdout == APART % b"late" + b"own\n"
    assert outcome.stderr == APART % b"odd"
    assert (outcome.written, outcome.cut) == (4, 0)
    assert link.eval("print('own')").stdout == b"own\n"


def test_late_output_in_the_middle_of_an_eval_is_set_apart_too(worker, link):
    """Also when the eval waits for it."""
    link.eval(LEAVES["a child"])
    outcome = link.eval("print('before')\nopen('go', 'w').close(); p.wait(); print('after')")
    assert (outcome.stdout, outcome.stderr) == (APART % b"late" + b"before\nafter\n", APART % b"odd")


def test_late_output_of_a_session_that_streams_is_an_event_of_nobody(worker, link):
    """Whoever watches sees it at once."""
    link.confirm(link.outcome(link.request("eval", {"code": LEAVES["a child"]}, stream=True)))
    ref = link.request("eval", {"code": "print('own')\nopen('go', 'w').close()\np.wait()"}, id_="second", stream=True)
    outcome = link.outcome(ref)
    told: dict[tuple, bytes] = {}
    for _, seq, kind, id_, body in link.events():
        told[seq, id_, kind] = told.get((seq, id_, kind), b"") + body
    assert told == {
        (2, b"second", EventKind.STDOUT): b"own\n",
        (NONE, b"", EventKind.STDOUT): b"late\n",
        (NONE, b"", EventKind.STDERR): b"odd\n",
    }
    assert (outcome.stdout, outcome.written) == (b"", 4)


def test_each_eval_has_pipes_of_its_own(worker, link):
    """Several that leave something running, and one whose children have all ended."""
    for number in range(3):
        link.eval(f"import subprocess\nsubprocess.Popen({WRITES!r}.format(name='go{number}'), shell=True); None")
        assert link.eval("subprocess.run(['echo', 'heard'])").stdout == b"heard\n"
    for number in range(3):
        go(worker.work_folder, f"go{number}")
        assert link.eval("print('own')").stdout == APART % b"late" + b"own\n"


def test_pipes_that_nobody_holds_are_closed(worker, link):
    """However many evals start processes; and without any nothing is changed."""
    link.eval("import os, subprocess\nn = os.stat(1).st_ino")
    assert link.eval("os.stat(1).st_ino == n").told["output"] == "True"
    for _ in range(20):
        link.eval("subprocess.run(['true'])")
    assert link.eval("os.stat(1).st_ino == n").told["output"] == "False"
    link.ping()
    assert len(list(Path(f"/proc/{worker.process.pid}/fd").iterdir())) < 25
    assert link.eval("len(os.listdir('/proc/self/fd')) < 25").told["output"] == "True"


def test_one_that_goes_on_changes_pipes_once(worker, link):
    """Later evals that start nothing keep theirs."""
    link.eval("import os, subprocess\np = subprocess.Popen(['sleep', '60'])")
    first = link.eval("os.stat(1).st_ino").told["output"]
    link.eval("1 + 1")
    assert link.eval("os.stat(1).st_ino").told["output"] == first
    link.eval("p.kill(); p.wait()")


def test_a_flood_of_late_output_is_cut_and_counted(worker):
    """It takes no more than its share of a text, and holds up nobody."""
    link = worker.claimed(limits={"text_bytes_max": 40_000})
    flood = "until [ -e go ]; do sleep 0.01; done; head -c 300000 /dev/zero | tr '\\\\0' x; sleep 60"
    link.eval(f'import subprocess\np = subprocess.Popen("{flood}", shell=True)')
    (worker.work_folder / "go").touch()
    total = 0
    while total < 300_000:
        outcome = link.eval("print('own')")
        head, _, _ = outcome.stdout.partition(LATE_END)
        assert outcome.stdout.endswith(b"own\n") and len(outcome.stdout) < 11_000
        total += head.count(b"x") + outcome.cut
    link.eval("p.kill()")


def test_output_before_a_file_request_waits_for_the_next_eval(worker, link):
    """A reply has no place for it."""
    code = "while not os.path.exists('go'): time.sleep(0.001)\n    print('early'); open('go.done', 'w').close()"
    link.eval(f"import os, threading, time\ndef f():\n    {code}\nthreading.Thread(target=f).start()")
    go(worker.work_folder)
    link.confirm(link.outcome(link.request("files", {"op": "write", "path": "a", "data": ""}, numbered=True)))
    assert link.eval("print('own')").stdout == b"early\nown\n"


REDIRECTS = "import os, sys\nsaved = os.dup({fd})\nfile = open('file', 'w')\nos.dup2(file.fileno(), {fd})"


@pytest.mark.parametrize(("fd", "stream"), [(1, "stdout"), (2, "stderr")])
def test_print_goes_where_the_descriptor_goes(worker, link, fd, stream):
    """As child processes do: across evals, and back."""
    link.eval(REDIRECTS.format(fd=fd))
    outcome = link.eval(f"print('x' * 100_000, file=sys.{stream}); os.system('echo child >&{fd}')")
    assert (outcome.stdout, outcome.stderr) == (b"", b"")
    assert (worker.work_folder / "file").read_text() == "x" * 100_000 + "\nchild\n"
    outcome = link.eval(f"os.dup2(saved, {fd})\nprint('back', file=sys.{stream})")
    assert getattr(outcome, stream).endswith(b"back\n")


def test_within_one_eval(link):
    """What is written is where the descriptor was."""
    code = REDIRECTS.format(fd=1) + "\nprint('in')\nos.dup2(saved, 1)\nprint('out')\nopen('file').read()"
    outcome = link.eval(code)
    assert (outcome.stdout, outcome.told["output"]) == (b"out\n", "'in\\n'")


def test_a_file_that_takes_nothing_is_told(link):
    """By the print, or when the eval ends; then it goes on."""
    link.eval("import os\nsaved = os.dup(1)\nfull = os.open('/dev/full', os.O_WRONLY)\nos.dup2(full, 1)")
    outcome = link.eval("print('lost')")
    assert outcome.told["error"]["name"] == "OSError"
    outcome = link.eval("for n in range(100):\n    try: print(n)\n    except OSError: pass")
    assert (outcome.told["error"], outcome.stderr) == (None, b"OSError: No space left on device: output is lost\n")
    assert link.eval("os.dup2(saved, 1)\nprint('heard')").stdout == b"heard\n"


def test_a_pipe_that_nobody_reads_can_be_interrupted(link):
    """As any writer of a full pipe."""
    link.eval("import os\nsaved = os.dup(1)\nr, w = os.pipe()\nos.dup2(w, 1)")
    ref = link.request("eval", {"code": "display(1)\nprint('x' * 1_000_000)"})
    link.next_frame(Kind.EVENT)
    time.sleep(0.1)
    link.interrupt()
    assert link.outcome(ref, wait_s=3).told["error"]["code"] == "interrupted"


def test_a_descriptor_that_was_closed(link):
    """`print` is still heard: nothing else is in its place."""
    link.eval("import os\nsaved = os.dup(1)\nos.close(1)")
    assert link.eval("print('heard')\nos.dup2(saved, 1); None").stdout == b"heard\n"


def test_the_interpreter_holds_no_reading_end(worker, link):
    """So that a process that writes to a worker that is gone is told."""
    link.eval("import subprocess\np = subprocess.Popen(['sleep', '60'])")
    link.eval("1")
    held = subprocess.run(["ls", "-l", f"/proc/{worker.interpreter}/fd"], capture_output=True, text=True).stdout
    assert not [line for line in held.splitlines() if "pipe:" in line and line.startswith("lr-x")][1:]
    link.eval("p.kill(); p.wait()")
