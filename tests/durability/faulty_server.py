"""`bascule serve` with faults: `python -m durability.faulty_server serve …`, for campaigns and never for use.

BASCULE_FAULTS has a plan (`plan.py`) for the marked points; BASCULE_PLANTED names a bug of `planted.py` to put in. Both
are read here and by nothing in the server.
"""

from __future__ import annotations

import os
from typing import Final

from durability.plan import marker
from durability.planted import plant
from orchestrator import faults
from orchestrator.cli import entry

FAULTS: Final = "BASCULE_FAULTS"
PLANTED: Final = "BASCULE_PLANTED"


def main() -> None:
    """Put in what is asked for, then be the command."""
    plan, bug = os.environ.pop(FAULTS, ""), os.environ.pop(PLANTED, "")
    if plan:
        faults.install(marker(plan))
    if bug:
        plant(bug)
    entry()


if __name__ == "__main__":
    main()
