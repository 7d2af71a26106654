"""Histories for tests of the checker: a clean one, and what is planted into it."""

from __future__ import annotations

from typing import Any

Story = dict[str, Any]
"""Records by their kind."""


def acknowledged(n: int) -> dict[str, Any]:
    """The outcome of the eval that is number `n` of a session whose first one made the list."""
    output = str(n - 1)
    return {"state": "committed", "seq": n, "etag": f"etag-{n}", "durable": "fsync", "output": output}


def operation(number: int, outcome: dict[str, Any], id_: str | None = None) -> dict[str, Any]:
    """One request of the one client; begun at 100 a number, over 50 later."""
    begin = 100 * number
    who = {"client": "c0", "session": "s0", "connection": 1, "id": id_ or f"c0-{number}"}
    return {**who, "begin": begin, "end": begin + 50, "outcome": outcome}


def event(at: int, type_: str, **more: Any) -> dict[str, Any]:
    """What the client heard by itself."""
    return {"client": "c0", "session": "s0", "connection": 1, "at": at, "type": type_, **more}


def clean() -> Story:
    """Setup is number 1, three evals are 2 to 4; the second was lost at first; the third kept, then committed."""
    return {
        "header": {"allows": []},
        "operation": [
            operation(1, acknowledged(1), "setup-s0"),
            operation(2, acknowledged(2)),
            operation(3, {"state": "lost"}),
            operation(4, {**acknowledged(3)}, "c0-3"),
            operation(5, {"state": "kept"}),
            operation(6, {"state": "error", "code": "worker_died"}),
        ],
        "event": [
            event(210, "cursor", cursor="1.1"),
            event(410, "cursor", cursor="1.2"),
            event(560, "committed", target="c0-5", seq=4, etag="etag-4", durable="fsync"),
            event(640, "rolled_back", to=4, attaching=False),
            event(650, "cursor", cursor="2.0"),
        ],
        "fault": [{"at": 330, "what": "server killed"}],
        "observation": [
            {
                "session": "s0", "list": ["c0-2", "c0-3", "c0-5"], "counter": 3, "wrong_cells": 0,
                "seq": 4, "etag": "etag-4",
                "journal": [[1, "setup-s0"], [2, "c0-2"], [3, "c0-3"], [4, "c0-5"]],
            }
        ],
    }  # fmt: skip


def loss(story: Story) -> None:
    """What was acknowledged is not there."""
    state(story)["list"].remove("c0-3")
    state(story)["counter"] = 2


def double(story: Story) -> None:
    """What was sent twice ran twice."""
    state(story)["list"].append("c0-3")
    state(story)["counter"] = 4


def reorder(story: Story) -> None:
    """Two that have numbers stand the other way round."""
    state(story)["list"][:2] = ["c0-3", "c0-2"]


def reorder_in_time(story: Story) -> None:
    """Its number is not known, only when it was sent."""
    story["operation"][2]["outcome"] = story["operation"][3]["outcome"] = {"state": "lost"}
    reorder(story)


def phantom(story: Story) -> None:
    """Nobody sent it."""
    state(story)["list"].append("c0-99")
    state(story)["counter"] = 4


def wrong_counter(story: Story) -> None:
    """Half of an eval took effect."""
    state(story)["counter"] = 4


def half_a_file(story: Story) -> None:
    """What the last eval wrote to its file is not there."""
    state(story)["file"] = state(story)["list"][:-1]


def torn_array(story: Story) -> None:
    """An element has the value of another eval."""
    state(story)["wrong_cells"] = 1


def other_journal(story: Story) -> None:
    """The history has another eval than the state."""
    state(story)["journal"][2][1] = "c0-5"


def hole_in_the_journal(story: Story) -> None:
    """A number is missing."""
    del state(story)["journal"][1]


def other_output(story: Story) -> None:
    """The value that was answered is another place in the list."""
    story["operation"][1]["outcome"]["output"] = "2"


def told_undone(story: Story) -> None:
    """It was answered `worker_died`, and it is there."""
    state(story)["list"].append("c0-6")
    state(story)["counter"] = 4


def told_not_started(story: Story) -> None:
    """It was answered `store_unavailable`, and it is there."""
    story["operation"][5]["outcome"]["code"] = "store_unavailable"
    told_undone(story)


def two_etags(story: Story) -> None:
    """Number 4 has one in the event and another one at the end."""
    story["event"][2]["etag"] = "another"


def two_owners(story: Story) -> None:
    """Number 2 was given to two evals."""
    story["operation"][3]["outcome"]["seq"] = 2


def two_numbers(story: Story) -> None:
    """One eval was number 3, and later number 7."""
    story["operation"].append(operation(7, acknowledged(7), "c0-3"))


def older_number(story: Story) -> None:
    """An eval that was sent last got a number from before all others."""
    story["operation"].append(operation(7, acknowledged(0)))


def weak(story: Story) -> None:
    """It was called committed, and kept nowhere."""
    story["operation"][1]["outcome"]["durable"] = "none"


def silent(story: Story) -> None:
    """The connection stayed and no answer came."""
    story["operation"][5]["outcome"] = {"state": "unanswered"}


def one_more_answer(story: Story) -> None:
    """To a request that had one."""
    story["event"].append(event(700, "answer", id="c0-3"))


def fault_of_ours(story: Story) -> None:
    """An error that no fault of a campaign excuses."""
    story["operation"][5]["outcome"]["code"] = "internal"


def regress(story: Story) -> None:
    """The store went back, where nobody made it go back."""
    story["operation"][5]["outcome"]["code"] = "session_regressed"


def roll_back(story: Story) -> None:
    """Number 4 was acknowledged, and then all after 3 was said to be gone."""
    story["event"][3]["to"] = 3


def cursor_again(story: Story) -> None:
    """An event comes a second time."""
    story["event"].append(event(700, "cursor", cursor="1.2"))


def nobody_looked(story: Story) -> None:
    """There is no observation."""
    story["observation"].clear()


def nothing_done(story: Story) -> None:
    """No operation ended well, and so nothing is proved."""
    story["operation"] = [operation(3, {"state": "lost"})]
    story["event"].clear()
    state(story).update(list=[], counter=0, journal=[], seq=0, etag="")


def state(story: Story) -> dict[str, Any]:
    """What was found at the end."""
    state: dict[str, Any] = story["observation"][0]
    return state


PLANTED = [
    (loss, {"lost", "journal"}), (double, {"doubled", "journal", "disagrees", "reordered"}),
    (reorder, {"reordered", "journal", "disagrees"}), (reorder_in_time, {"reordered", "journal", "disagrees"}),
    (phantom, {"phantom", "journal"}), (wrong_counter, {"counter"}),
    (half_a_file, {"file"}), (torn_array, {"array"}), (other_journal, {"journal"}),
    (hole_in_the_journal, {"journal"}), (other_output, {"disagrees"}), (told_undone, {"undone", "journal"}),
    (told_not_started, {"undone", "journal"}), (two_etags, {"two_etags"}),
    (two_owners, {"sequence", "reordered", "two_etags"}), (two_numbers, {"sequence", "reordered", "disagrees"}),
    (older_number, {"sequence", "lost"}), (weak, {"not_durable"}), (silent, {"unanswered"}),
    (one_more_answer, {"answered_twice"}), (fault_of_ours, {"refused"}), (regress, {"refused"}),
    (roll_back, {"rolled_back"}), (cursor_again, {"cursor_order"}), (nobody_looked, {"unobserved"}),
    (nothing_done, {"unobserved"}),
]  # fmt: skip
