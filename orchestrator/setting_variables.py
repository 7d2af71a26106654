"""Names of settings in the environment, and which variables were meant to be one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Final

PREFIX: Final = "BASCULE_"
NESTING: Final = "__"

OTHER_VARIABLES: Final = frozenset(
    {"BASCULE_CONFIG", "BASCULE_API_KEY", "BASCULE_API_KEY_FILE", "BASCULE_API_URL", "BASCULE_HISTORY"}
)
"""Of this program, and no settings of a server."""

LIKENESS: Final = 0.85
"""Of a variable's name to a setting's, from which it is taken for a mistake (0 to 1)."""

_OF_KUBERNETES: Final = re.compile(r"_SERVICE_(HOST|PORT)(_\w+)?=|_PORT_\d+_(TCP|UDP)(_\w+)?=|=(tcp|udp)://")


def variable_of(name: str) -> str:
    """The environment's name of a setting."""
    return PREFIX + name.upper().replace(".", NESTING)


def misspelt(variable: str, value: str, names: Iterable[str]) -> str | None:
    """The setting that a variable without `__` was meant for, if it is like one of `names`.

    What is like none is not ours: Kubernetes gives every container `BASCULE_SERVICE_HOST`, `BASCULE_PORT=tcp://…` and
    more when a service has the name `bascule`.
    """
    known = {variable_of(name) for name in names} | OTHER_VARIABLES
    if variable in known or _OF_KUBERNETES.search(f"{variable}={value}"):
        return None
    flat = {name.replace(NESTING, "_"): name for name in known}
    return next((flat[word] for word in difflib.get_close_matches(variable, flat, 1, LIKENESS)), None)
