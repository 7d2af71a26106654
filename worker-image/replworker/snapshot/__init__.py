"""Checkpoint and restore of the interpreter's namespace, and of what belongs to it.

Taken and opened only by an interpreter, inside a sandbox; to everyone else a checkpoint is bytes.
"""

from replworker.snapshot.contract import Checkpoint, RestoreError, RestoreReport, SnapshotLimits
from replworker.snapshot.moment import ForkMoment
from replworker.snapshot.restoring import restore
from replworker.snapshot.taking import Snapshotter

__all__ = [
    "Checkpoint", "ForkMoment", "RestoreError", "RestoreReport", "SnapshotLimits", "Snapshotter", "restore",
]  # fmt: skip
