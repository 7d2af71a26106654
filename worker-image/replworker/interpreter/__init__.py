"""The interpreter: the half of the worker that runs a tenant's code, in a process of its own.

It is told what to run by frames on one socket and sends checkpoints of large state on another. It decides nothing that
matters outside the sandbox: the agent numbers, orders and limits, and nobody trusts what comes from here.
"""

from __future__ import annotations

from replwire.hints import NoReturn
from replworker.interpreter.serving import Interpreter, prepare_process
from replworker.sockets import Socket


def run_interpreter(
    control: Socket, state_channel: Socket, pipe_channel: Socket, shadow_channel: Socket, *, work_folder: str
) -> NoReturn:
    """Serve until the agent goes away, with descriptors 1 and 2 in place."""
    prepare_process(work_folder)
    Interpreter(control, state_channel, pipe_channel, shadow_channel, work_folder).serve()
