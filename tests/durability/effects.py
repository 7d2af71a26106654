"""What the evals of a campaign do to their session, in code: a list, a counter, a file, and in some a large array.

All of it changes in each eval or none of it does. The array is large enough to be checkpointed by a forked process, of
which a copy stays that may take over; an eval changes one element of it, and now and then makes it anew. Some evals
kill their own interpreter, before or after the file has changed.
"""

from __future__ import annotations

from random import Random
from typing import Final

CELLS: Final = 800_000
"""Of the array, in eight bytes each; larger than what a shadow pays for."""
STEP: Final = 4_099
"""From the element that one eval changes to the next one's: another page each time, another block now and then."""

SETUP_CODE: Final = """\
done = []; counter = 0; cells = None
def note(id_):
    with open('done.txt', 'a') as file:
        file.write(id_ + '\\n')
"""
LARGE_SETUP_CODE: Final = (
    SETUP_CODE
    + f"""\
import copy
try:
    import numpy
    cells = numpy.arange({CELLS}.0)
except ImportError:
    import array
    cells = array.array('d', range({CELLS}))
"""
)
"""Without numpy, as in bubblewrap's Python, it is checkpointed by a forked process too, and no shadow stays."""

EVAL_CODE: Final = """\
done.append({id!r})
counter += 1
print({id!r}, flush=True)
if cells is not None: cells[counter * {step} % len(cells)] += counter
{before}note({id!r})
{after}counter"""

PAUSE_CODE: Final = "import time; time.sleep({s:.3f})\n"
ANEW_CODE: Final = "if cells is not None: cells = copy.copy(cells)\n"
"""In memory of its own again, where it had been restored into that of a `bytearray`."""
DIE_CODE: Final = "import os; os.kill(os.getpid(), 9)\n"

PAUSES: Final = 0.3
ANEW: Final = 0.2
"""Of all evals."""

LOOK_CODE: Final = f"""\
import json, os
wrong = 0
if globals().get('cells') is not None:
    right = [float(number) for number in range({CELLS})]
    for number in range(1, counter + 1): right[number * {STEP} % {CELLS}] += number
    wrong = sum(map(float.__ne__, map(float, cells), right))
    right = None
file = open('done.txt').read().split() if os.path.exists('done.txt') else []
json.dumps([globals().get('done', []), globals().get('counter', 0), file, wrong])"""
"""A session that has lost its very beginning has an empty list."""


def eval_code(random: Random, id_: str, *, dying: float) -> str:
    """Of one eval. Some take their time, so that they can be killed in the middle; a share of `dying` kill themselves,
    half of them when only memory has changed."""
    pause = PAUSE_CODE.format(s=random.uniform(0.005, 0.05)) if random.random() < PAUSES else ""
    before, after = (ANEW_CODE if random.random() < ANEW else ""), pause
    if random.random() < dying:
        before, after = random.choice(((before + pause + DIE_CODE, ""), (before, pause + DIE_CODE)))
    return EVAL_CODE.format(id=id_, step=STEP, before=before, after=after)
