"""complete, inspect, variables, files: what is there, without surprises."""

from __future__ import annotations

import base64
import hashlib

import pytest

from support.worker_client import WorkerClient

SETUP = """
import os, collections
def greet(name: str, *, loud=False) -> str:
    'Say hello.'
    return name
class Box:
    'A box.'
    size = 3
    def open(self): pass
    @property
    def danger(self): raise SystemExit
box = Box()
table = {'alpha': {'beta': 1}, 'a b': 2, 3: 4}
quoted = {'it\\'s': 1, 'q"\\n': 2}
os.environ['BASCULE_X'] = ''
class Odd:
    def __dir__(self): return ['zeta', 3, None, 'eta']
odd = Odd()
counts = collections.defaultdict(list)
"""


def complete(link: WorkerClient, code: str) -> list[str]:
    """Texts of the matches at the end of the code."""
    matches = link.ask("complete", {"code": code, "cursor": len(code)})["matches"]
    assert all(0 <= match["start"] <= match["end"] == len(code) for match in matches)
    return [match["text"] for match in matches]


@pytest.mark.parametrize(
    ("code", "among"),
    [
        ("gre", "greet"),
        ("x = gre", "greet"),
        ("pri", "print"),
        ("whi", "while"),
        ("box.op", "open"),
        ("box.", "danger"),
        ("os.path.jo", "join"),
        ("table['al", "alpha"),
        ("table['alpha']['be", "beta"),
        ("table['alpha'].ke", "keys"),
        ("f(box.si", "size"),
        ("os.environ['BASC", "BASCULE_X"),
        ("quoted['i", "it\\'s"),
        ('quoted["i', "it's"),
        ('quoted["q', 'q\\"\\n'),
        ("odd.ze", "zeta"),
        ("import collec", "collections"),
        ("import os, js", "json"),
        ("import xml.et", "etree"),
        ("from xml.dom imp", "import"),
        ("from os import pa", "path"),
        ("from xml import et", "etree"),
        ("open('no", "note.txt"),
        ("open('sub/in", "inner.txt"),
        ("line = 1\ngre", "greet"),
    ],
)
def test_completion(worker, link, code, among):
    """Names, attributes, keys, imports, paths."""
    (worker.work_folder / "sub").mkdir()
    (worker.work_folder / "sub" / "inner.txt").touch()
    (worker.work_folder / "note.txt").touch()
    link.eval(SETUP)
    assert among in complete(link, code)


@pytest.mark.parametrize(
    "code", ["nothing.here", "1.", "# box.", "box.open().", "counts['x", "'text", "x = '''", "(", "box..", ""]
)
def test_completion_that_finds_nothing_harmful(link, code):
    """No call is made, no key comes into being, and odd text is no error."""
    link.eval(SETUP)
    complete(link, code)
    assert link.eval("dict(counts)").told["output"] == "{}"


@pytest.mark.parametrize("code", ["(box).op", "'abc'.pri", "box.open().pri", "[1].pri"])
def test_names_are_no_attributes(link, code):
    """Of an expression that would have to be called nothing is known; the namespace's names don't belong there."""
    link.eval(SETUP)
    assert complete(link, code) == []


def test_a_cursor_behind_the_end_is_at_the_end(link):
    """Its matches say where they go."""
    link.eval(SETUP)
    (match,) = link.ask("complete", {"code": "box.op", "cursor": 99})["matches"]
    assert (match["start"], match["end"]) == (4, 6)
    assert link.ask("inspect", {"code": "greet(1, ", "cursor": 99})["name"] == "greet"


def test_completion_kinds(link):
    """What a match is, for the client's icons."""
    link.eval(SETUP)
    matches = link.ask("complete", {"code": "box.", "cursor": 4})["matches"]
    kinds = {match["text"]: match["kind"] for match in matches}
    assert (kinds["open"], kinds["danger"]) == ("function", "property")


@pytest.mark.parametrize(
    ("code", "cursor", "name"),
    [
        ("greet", 2, "greet"),
        ("greet(", 6, "greet"),
        ("greet(1, ", 9, "greet"),
        ("box.open", 6, "box.open"),
        ("box.open", 1, "box"),
        ("greet(box)", 7, "box"),
        ("greet(')', ", 11, "greet"),
        ("greet('(', ", 11, "greet"),
        ("greet('box', 1", 9, "greet"),
        ("greet('it\\'s) (', ", 18, "greet"),
        ("greet('''(\n)''', ", 17, "greet"),
        ("greet(1, # :)\n", 14, "greet"),
        ("greet('open", 11, "greet"),
        ("greet(table['a b'], ", 20, "greet"),
    ],
)
def test_inspect_finds_what_the_cursor_means(link, code, cursor, name):
    """The expression under it, else the call around it."""
    link.eval(SETUP)
    told = link.ask("inspect", {"code": code, "cursor": cursor})
    assert (told["found"], told["name"]) == (True, name)


def test_inspect_tells_signature_docstring_and_source(link):
    """The source with `detail` 1."""
    link.eval(SETUP)
    told = link.ask("inspect", {"code": "greet", "cursor": 5, "detail": 1})
    assert told["signature"] == "greet(name: str, *, loud=False) -> str"
    assert (told["docstring"], told["type"]) == ("Say hello.", "function")
    assert told["source"].startswith("def greet")
    source = link.ask("inspect", {"code": "Box", "cursor": 3, "detail": 1})["source"]
    assert source.startswith("class Box:\n    'A box.'\n") and source.endswith("raise SystemExit\n")
    assert link.ask("inspect", {"code": "missing", "cursor": 3}) == {"found": False}


def test_variables(link):
    """Name, type, size, short repr, and whether the last checkpoint has it."""
    link.eval(
        SETUP + "\nstream = (i for i in ())\nlong = 'x' * 9999\nclass Bad:\n  def __repr__(self): 1/0\nbad = Bad()"
    )
    found = {item["name"]: item for item in link.ask("variables", {})["variables"]}
    assert (found["table"]["type"], found["table"]["kept"], found["stream"]["kept"]) == ("dict", True, False)
    assert len(found["long"]["repr"]) <= 120 and found["long"]["size"] > 9999
    assert "fails" in found["bad"]["repr"]
    assert [item["name"] for item in link.ask("variables", {"prefix": "tab"})["variables"]] == ["table"]
    assert not any(name.startswith("__") for name in found)


def test_a_repr_without_end_is_interrupted(worker):
    """Auxiliary requests have a time of their own; the session goes on."""
    link = worker.claimed(limits={"auxiliary_timeout_ms": 200})
    link.eval("class Loop:\n  def __repr__(self):\n    while True: pass\nloop = Loop()\nn = 1")
    assert link.ask("variables", {})["code"] == "timeout"
    assert link.eval("n").told["output"] == "1"


def files(link: WorkerClient, op: str, path: str, **more: object) -> dict:
    """A `files` request; what changes something is numbered, as the front door does it."""
    payload = {"op": op, "path": path, **more}
    if op in ("write", "delete"):
        outcome = link.outcome(link.request("files", payload, numbered=True))
        link.confirm(outcome)
        return outcome.told
    return link.ask("files", payload)


def test_files(link):
    """Write, read, list, stat, delete."""
    data = base64.b64encode(b"hello").decode()
    assert files(link, "write", "a/b.txt", data=data) == {"size": 5}
    assert files(link, "read", "a/b.txt").items() >= {"data": data, "size": 5, "kind": "file"}.items()
    assert [(entry["name"], entry["kind"]) for entry in files(link, "list", ".")["entries"]] == [("a", "folder")]
    assert files(link, "stat", "a/b.txt")["size"] == 5
    assert link.eval("open('a/b.txt').read()").told["output"] == "'hello'"
    assert files(link, "delete", "a") == {}
    assert files(link, "list", ".")["entries"] == []


def encoded(data: bytes) -> str:
    """As `data` wants it."""
    return base64.b64encode(data).decode()


def test_a_part_of_a_file_can_be_read_and_digested(link):
    """Bytes from an offset, the size of the whole, and an etag that changes with the file."""
    files(link, "write", "a.bin", data=encoded(b"0123456789"))
    part = files(link, "read", "a.bin", offset=3, length=4)
    assert (part["data"], part["size"]) == (encoded(b"3456"), 10)
    assert files(link, "read", "a.bin", offset=10)["data"] == files(link, "read", "a.bin", length=0)["data"] == ""
    whole, tail = files(link, "digest", "a.bin"), files(link, "digest", "a.bin", offset=8, length=9)
    assert whole["sha256"] == hashlib.sha256(b"0123456789").hexdigest()
    assert tail["sha256"] == hashlib.sha256(b"89").hexdigest()
    assert whole["etag"] == part["etag"] == files(link, "stat", "a.bin")["etag"]
    files(link, "write", "a.bin", data=encoded(b"9876543210"))
    assert files(link, "stat", "a.bin")["etag"] != whole["etag"]


def test_a_large_file_is_written_in_parts(link):
    """The old content is there until the last part, and then the new one, whole."""
    files(link, "write", "b/a.bin", data=encoded(b"old"))
    told = files(link, "write", "b/a.bin", data=encoded(b"abc"), more=True)
    assert told == {"size": 3, "unfinished": "b/.a.bin.unfinished"}
    assert files(link, "read", "b/a.bin")["data"] == encoded(b"old")
    assert files(link, "write", "b/a.bin", data=encoded(b"de"), offset=3) == {"size": 5}
    assert files(link, "read", "b/a.bin")["data"] == encoded(b"abcde")
    assert [entry["name"] for entry in files(link, "list", "b")["entries"]] == ["a.bin"]


def test_a_part_that_does_not_follow_is_refused(link):
    """Two uploads of one name, or a part that was lost: the file is left as it was."""
    assert files(link, "write", "x", data=encoded(b"c"), offset=2)["error"]["code"] == "not_found"
    files(link, "write", "x", data=encoded(b"ab"), more=True)
    assert files(link, "write", "x", data=encoded(b"d"), offset=3)["error"]["code"] == "conflict"
    assert files(link, "stat", "x")["error"]["code"] == "not_found"


def test_a_planted_link_is_not_written_through(link):
    """The name under which parts gather is the tenant's to take: what is there is neither followed nor waited for."""
    link.eval("import os; os.mkfifo('.pipe.unfinished'); os.symlink('/proc/self/mem', '.link.unfinished')")
    for name in ("pipe", "link"):
        assert files(link, "write", name, data="", more=True)["error"]["code"] == "bad_message"


@pytest.mark.parametrize(
    ("op", "path", "code"),
    [
        ("read", "missing", "not_found"),
        ("read", "../outside", "forbidden"),
        ("read", "/etc/passwd", "bad_message"),
        ("read", "link", "forbidden"),
        ("read", "door/passwd", "forbidden"),
        ("read", "a\0b", "bad_message"),
        ("read", ".", "bad_message"),
        ("read", "pipe", "bad_message"),
        ("read", "large", "too_large"),
        ("digest", "pipe", "bad_message"),
        ("digest", "missing", "not_found"),
        ("write", ".", "bad_message"),
        ("write", "folder", "bad_message"),
        ("delete", ".", "bad_message"),
        ("delete", "../..", "forbidden"),
        ("list", "missing", "not_found"),
    ],
)
def test_files_that_cannot_be_had(worker, link, op, path, code):
    """Each with its code; links lead nowhere outside."""
    link.eval("import os; os.symlink('/etc/passwd', 'link'); os.symlink('/etc', 'door'); os.mkfifo('pipe')")
    link.eval("os.mkdir('folder'); open('large', 'wb').write(bytes(600_000))")
    assert files(link, op, path, **({"data": ""} if op == "write" else {}))["error"]["code"] == code


@pytest.mark.parametrize("data", ["***", "abc", None])
def test_bad_data_is_refused(link, data):
    """Nothing is written."""
    told = files(link, "write", "x", **({"data": data} if data is not None else {}))
    assert told["error"]["code"] == "bad_message"
    assert files(link, "stat", "x")["error"]["code"] == "not_found"
