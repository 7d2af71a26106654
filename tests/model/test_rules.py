"""The script's table as a pure function, row by row."""

from __future__ import annotations

import pytest

from model.rules import REWIND, RULES, Answer, Commit, Entry, Record, commit, raised, replay, run_of

ONE, TWO, THREE = (Entry(request, 0, 1) for request in (1, 2, 3))
RECORD = Record(generation=1, nonce=1, worker=1, journal=(ONE,), etag=(ONE,), state=(ONE,))
NEXT = Commit(generation=1, nonce=1, base=(ONE,), first=2, entries=(TWO,), state=(ONE, TWO))

REFUSED = [
    (Answer.FENCED, NEXT._replace(generation=2)),
    (Answer.FENCED, NEXT._replace(nonce=7)),
    (Answer.CONFLICT, NEXT._replace(entries=(Entry(1, 1, 1),))),
    (Answer.CONFLICT, NEXT._replace(entries=(Entry(1, 1, 1), TWO))),
    (Answer.DUP, NEXT._replace(base=(), first=1, entries=(ONE,))),
    (Answer.GAP, NEXT._replace(base=(), first=1, entries=(ONE, TWO))),
    (Answer.GAP, NEXT._replace(first=3)),
    (Answer.GAP, NEXT._replace(base=(THREE,))),
    (Answer.MISSING, NEXT._replace(has_chunks=False)),
]


@pytest.mark.parametrize(("answer", "asked"), REFUSED)
def test_what_is_refused_changes_nothing(answer: Answer, asked: Commit) -> None:
    """Each row of the table, and the record as it was."""
    assert commit(RECORD, asked) == (answer, RECORD)


def test_the_first_row_that_applies_answers() -> None:
    """A commit with every fault is FENCED; mended one by one it goes down the table to OK."""
    asked = Commit(2, 2, (THREE,), 9, (Entry(1, 1, 1), TWO), (), has_chunks=False)
    seen = [commit(RECORD, asked)[0]]
    for mended in (
        asked := asked._replace(generation=1, nonce=1),
        asked := asked._replace(entries=(TWO,)),
        asked := asked._replace(first=2, base=(ONE,)),
        asked._replace(has_chunks=True),
    ):
        seen.append(commit(RECORD, mended)[0])
    assert seen == [Answer.FENCED, Answer.CONFLICT, Answer.GAP, Answer.MISSING, Answer.OK]
    assert list(RULES) == [Answer.FENCED, Answer.CONFLICT, Answer.DUP, Answer.GAP, Answer.MISSING]


def test_ok_writes_everything_at_once() -> None:
    """Journal, etag and state go on together; the generation stays."""
    answer, after = commit(RECORD, NEXT._replace(entries=(TWO, THREE), state=(ONE, TWO, THREE)))
    chain = (ONE, TWO, THREE)
    assert (answer, after) == (Answer.OK, RECORD._replace(journal=chain, etag=chain, state=chain))


def test_a_rewind_is_a_commit_that_raises_the_generation() -> None:
    """Seq + 1, another state, the next generation and nobody's worker: in one step."""
    back = Entry(9, REWIND, 1)
    answer, after = commit(RECORD, NEXT._replace(entries=(back,), state=(), raises=2, owner=1))
    assert answer is Answer.OK
    assert after == Record(2, 2, owner=1, worker=0, journal=(ONE, back), etag=(ONE, back), state=())
    assert commit(after, NEXT)[0] is Answer.FENCED


def test_a_raise_fences_every_commit_of_before() -> None:
    """Whatever else is right about it."""
    assert commit(raised(RECORD, 2, 1), NEXT)[0] is Answer.FENCED


def test_what_a_history_leads_to() -> None:
    """Evals add their effects, a rewind takes the state of the seq that it names."""
    assert replay((ONE, TWO)) == (ONE, TWO)
    assert replay((ONE, TWO, Entry(9, REWIND + 1, 1), THREE)) == (ONE, THREE)
    assert (run_of((ONE, Entry(2, 0, 4)), 2), run_of((ONE,), 2)) == (4, 0)
