"""`python -m replworker --socket PATH --work-folder PATH`: one worker.

It listens on the Unix socket, serves one session and ends: status 0 after SIGTERM, 1 when its interpreter is gone.
"""

from __future__ import annotations

import sys

from replwire.hints import Final
from replworker.agent.worker import run_worker
from replworker.interpreter import run_interpreter

_USAGE: Final = "usage: python -m replworker --socket PATH --work-folder PATH"


def main(words: list[str]) -> int:
    """Exit status of the worker; 2 for words that are not as the usage says."""
    given = dict(zip(words[::2], words[1::2], strict=False))
    if len(words) != 4 or given.keys() != {"--socket", "--work-folder"}:
        sys.stderr.write(_USAGE + "\n")
        return 2
    return run_worker(given["--socket"], given["--work-folder"], run_interpreter)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
