"""Which reducer an object gets, by its class: decided once per class and checkpoint."""

from __future__ import annotations

import types
from _weakref import CallableProxyType, ProxyType, ReferenceType

from replwire.hints import Any, Final
from replworker.snapshot.arrays import SHARING, reduce_sharing
from replworker.snapshot.classes import (
    DESCRIPTORS,
    reduce_class,
    reduce_descriptor,
    reduce_exception,
    reduce_member,
)
from replworker.snapshot.contract import Unsaveable
from replworker.snapshot.early import Step, reduce_step
from replworker.snapshot.functions import reduce_cell, reduce_code, reduce_function, reduce_method
from replworker.snapshot.instances import instance_reducer
from replworker.snapshot.references import (
    SENTINEL_KINDS,
    Reducer,
    reduce_decimal_context,
    reduce_module,
    reduce_sentinel,
)
from replworker.snapshot.special import SPECIAL, reduce_weak_reference
from replworker.snapshot.special import reduce_iterator as reduce_iterator

REFUSED: Final = {
    "_asyncio.Future": "an asyncio future",
    "_asyncio.Task": "an asyncio task",
    "_contextvars.Context": "a context",
    "_ctypes.CFuncPtr": "a foreign function",
    "_io._BufferedIOBase": "an open file",
    "_io.FileIO": "an open file",
    "_io._IOBase": "an open file",
    "_multiprocessing.SemLock": "a lock",
    "_socket.socket": "a socket",
    "_thread.RLock": "a lock",
    "_thread._local": "thread-local data",
    "_thread.lock": "a lock",
    "asyncio.events.AbstractEventLoop": "an event loop",
    "builtins.async_generator": "a running generator",
    "builtins.coroutine": "a coroutine",
    "builtins.frame": "a frame",
    "builtins.generator": "a running generator",
    "builtins.memoryview": "a memory view",
    "builtins.super": "a super object",
    "builtins.traceback": "a traceback",
    "concurrent.futures._base.Executor": "a pool of workers",
    "concurrent.futures._base.Future": "a future",
    "ctypes.CDLL": "a loaded library",
    "mmap.mmap": "mapped memory",
    "queue.Queue": "a queue between threads",
    "re.Match": "a match object",
    "re.Scanner": "a regular expression's scanner",
    "select.epoll": "a selector",
    "selectors._BaseSelectorImpl": "a selector",
    "sqlite3.Connection": "a database connection",
    "sqlite3.Cursor": "a database cursor",
    "subprocess.Popen": "a process",
    "multiprocessing.process.BaseProcess": "a process",
    "tempfile._TemporaryFileWrapper": "an open file",
    "threading.Condition": "a condition between threads",
    "threading.Event": "an event between threads",
    "threading.Thread": "a thread",
    "threading._RLock": "a lock",
    "weakref.finalize": "a finalizer",
}
"""Classes, subclasses included, whose instances can't be kept; and how their unsaved names say so."""

_LOST_IN_FORK: Final = (
    "an open file", "a socket", "a selector", "an event loop", "a database", "a process", "a pool of workers",
    "a thread", "an asyncio task", "an asyncio future",
)  # fmt: skip
"""Reasons of what a forked process has no more: descriptors, threads, and what waits for either."""

_IN_MEMORY: Final = frozenset({"_io.StringIO", "_io.BytesIO"})
_WEAK: Final = (ReferenceType, ProxyType, CallableProxyType)

EXACT: Final[dict[type, Reducer | None]] = {
    types.FunctionType: reduce_function,
    types.MethodType: reduce_method,
    types.ModuleType: reduce_module,
    types.CodeType: reduce_code,
    types.CellType: reduce_cell,
    type: reduce_class,
    object: None,
    Step: reduce_step,
    ReferenceType: reduce_weak_reference,
}


def is_lost_in_fork(reason: str) -> bool:
    """Whether an unsaved name that gives this reason is of no use in a fork that lets go of descriptors."""
    return reason.removeprefix("reaches ").startswith(_LOST_IN_FORK)


def class_path(cls: type) -> str:
    """`module.qualname` of a class."""
    return f"{cls.__module__}.{cls.__qualname__}"


def refuse_weak(pickler: Any, reference: object) -> Any:
    """Proxies, which answer for what they point to; and references of classes of their own."""
    raise Unsaveable(reference, "a weak reference")


def refusal(reason: str) -> Reducer:
    """A reducer that refuses, unless a library made this very object and holds it: then it is kept by reference."""

    def refuse(pickler: Any, subject: Any) -> Any:
        found = pickler.own_attribute_of(subject)
        if found is None:
            raise Unsaveable(subject, _detailed(reason, subject))
        return found

    return refuse


def _detailed(reason: str, subject: Any) -> str:
    if reason != "an open file":
        return reason
    name = getattr(subject, "name", None)
    return f"{reason} {name[:100]!r}" if type(name) is str else reason


def choose(kind: type) -> Reducer | None:
    """The reducer of a class; None: leave it to pickle."""
    if kind in EXACT:
        return EXACT[kind]
    if issubclass(kind, type):
        return reduce_class
    if issubclass(kind, _WEAK):
        return refuse_weak
    return _by_name(kind) or _by_family(kind)


def _by_name(kind: type) -> Reducer | None:
    path = class_path(kind)
    if path in SENTINEL_KINDS:
        return reduce_sentinel
    if path in SPECIAL:
        return SPECIAL[path]
    if path == "decimal.Context":
        return reduce_decimal_context
    if kind.__module__ == "itertools":
        return reduce_iterator
    paths = [class_path(owner) for owner in kind.__mro__]
    if not SHARING.isdisjoint(paths):
        return reduce_sharing
    if not _IN_MEMORY.isdisjoint(paths):
        return None
    reason = next((REFUSED[path] for path in paths if path in REFUSED), None)
    return refusal(reason) if reason else None


def _by_family(kind: type) -> Reducer | None:
    if issubclass(kind, BaseException):
        return reduce_exception
    if issubclass(kind, types.ModuleType):
        return reduce_module
    if issubclass(kind, DESCRIPTORS):
        return reduce_descriptor
    if type(kind).__module__ == "enum" or any(owner.__module__ == "enum" for owner in type(kind).__mro__):
        return reduce_member
    return instance_reducer(kind)
