"""Rounds: in turns, and one that fails does not end the others."""

import asyncio

import pytest

from loadtests import rounds
from loadtests.contestants.contestant import TASKS, Contestant, Unavailable
from loadtests.measuring import Wrong
from loadtests.rounds import Tally, in_turn, tasks_for
from loadtests.sizes import QUICK

COLD, WARM = "start.cold", "start.warm"


class Scripted:
    """Contestants whose tasks note that they ran, and fail as they are told."""

    def __init__(self):
        self.ran = []

    def contestant(self, name, *tasks, missing="", failing=None):
        """One that has these tasks."""

        async def check():
            if missing:
                raise Unavailable(missing)

        return Contestant(name, check, {task: self._task(name, task, failing) for task in tasks})

    def _task(self, name, task, failing):
        async def work(sizes):
            self.ran.append((name, task))
            if failing is not None:
                raise failing
            return {f"{task}.p50": float(len(self.ran))}

        return work


async def run(contestants, count=1, only=()):
    """A whole run; its tally and what it told."""
    told: list[str] = []
    tally = Tally()
    await rounds.run(contestants, QUICK, rounds=count, only=only, tally=tally, tell=told.append)
    return tally, told


async def test_rounds_alternate_between_contestants():
    """Task by task, and each round begins with another one."""
    script = Scripted()
    await run([script.contestant(name, COLD, WARM) for name in "ab"], count=2)
    assert script.ran == [
        ("a", COLD), ("b", COLD), ("a", WARM), ("b", WARM), ("b", COLD), ("a", COLD), ("b", WARM), ("a", WARM),
    ]  # fmt: skip


async def test_every_round_is_kept():
    """As the rounds of one figure."""
    tally, _ = await run([Scripted().contestant("a", COLD)], count=3)
    assert tally.results()["start.cold.p50"]["a"].rounds == (1.0, 2.0, 3.0)


async def test_a_missing_service_leaves_one_contestant_out():
    """With a clear line; it is never asked to do anything."""
    script = Scripted()
    tally, told = await run([script.contestant("a", COLD, missing="no engine"), script.contestant("b", COLD)])
    assert tally.left_out == {"a": "no engine"}
    assert "left out: a: no engine" in told
    assert script.ran == [("b", COLD)]


@pytest.mark.parametrize("failing", [Wrong("1+1 is 3"), ConnectionError("gone"), TimeoutError()])
async def test_a_task_that_fails_leaves_itself_out(failing):
    """It is not tried again in the next round, and gives no figure."""
    script = Scripted()
    tally, _ = await run([script.contestant("a", COLD, failing=failing), script.contestant("b", COLD)], count=2)
    assert list(tally.left_out) == ["a, start.cold"]
    assert tally.left_out["a, start.cold"] in (str(failing), "TimeoutError")
    assert script.ran.count(("a", COLD)) == 1
    assert list(tally.results()["start.cold.p50"]) == ["b"]


async def test_a_fault_of_the_benchmark_is_no_figure_that_is_missing():
    """It ends the run."""
    with pytest.raises(ZeroDivisionError):
        await run([Scripted().contestant("a", COLD, failing=ZeroDivisionError())])


async def test_what_was_measured_before_an_interrupt_is_kept():
    """Ctrl-C cancels; the figures so far are printed."""
    script, tally = Scripted(), Tally()
    contestants = [script.contestant("a", COLD), script.contestant("b", COLD, failing=asyncio.CancelledError())]
    with pytest.raises(asyncio.CancelledError):
        await rounds.run(contestants, QUICK, rounds=1, only=(), tally=tally, tell=lambda line: None)
    assert list(tally.results()["start.cold.p50"]) == ["a"]


async def test_a_task_that_hangs_is_given_up(monkeypatch):
    """After a time with a name."""
    monkeypatch.setattr(rounds, "TASK_TIMEOUT_S", 0.01)

    async def hangs(sizes):
        await asyncio.Event().wait()

    async def check():
        pass

    tally, _ = await run([Contestant("a", check, {COLD: hangs})])
    assert tally.left_out == {"a, start.cold": "TimeoutError"}


def test_everybody_begins_once():
    """Over as many rounds as there are contestants."""
    contestants = [Scripted().contestant(name) for name in "abc"]
    orders = ["".join(contestant.name for contestant in in_turn(contestants, number)) for number in range(4)]
    assert orders == ["abc", "bca", "cab", "abc"]


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ([], list(TASKS)),
        (["start"], [COLD, WARM]),
        (["start.warm.p99"], [WARM]),
        (["output.print.growth", "memory"], ["memory", "output.print"]),
        (["round_trip"], ["round_trip.none", "round_trip.commit"]),
        (["out"], []),
    ],
)
def test_measures_choose_tasks(only, expected):
    """By their name or its beginning, in the order of the table."""
    assert tasks_for(only) == expected
