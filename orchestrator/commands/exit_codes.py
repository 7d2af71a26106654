"""The one table of exit codes."""

from __future__ import annotations

from typing import Final

DONE: Final = 0
FAILED: Final = 1
WRONG: Final = 2
REFUSED: Final = 3
NOT_FOUND: Final = 4
UNAVAILABLE: Final = 5
UNDONE: Final = 6
UNKNOWN: Final = 7
TIMED_OUT: Final = 124
INTERRUPTED: Final = 130

MEANINGS: Final = {
    DONE: "done",
    FAILED: "it could not be done; `exec`: the code raised an exception",
    WRONG: "the command line, the settings or the request are wrong",
    REFUSED: "no valid token, or the token does not allow it",
    NOT_FOUND: "no such session, or it has ended",
    UNAVAILABLE: "the server is not there, does not answer or has no room now; nothing was started",
    UNDONE: "the eval was undone: its worker died or had to be replaced; the session is as before it",
    UNKNOWN: "it is not known whether the eval took effect",
    TIMED_OUT: "the eval's time was up",
    INTERRUPTED: "interrupted with Ctrl-C",
}
