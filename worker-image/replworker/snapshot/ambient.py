"""State that lives outside the namespace and is kept: working folder, `sys.path`, environment, `random`, decimal.

All of it is compared with how a fresh worker starts, so a session that leaves it alone stores nothing. Values are
plain data (marshal). Anything a tenant has replaced by something else is left alone.
"""

from __future__ import annotations

import marshal
import os
import sys
from collections.abc import Callable

from replwire.hints import Any, Final, NamedTuple
from replworker.snapshot.contract import described


class Baseline(NamedTuple):
    """How this process started."""

    path: tuple[Any, ...]
    environment: dict[bytes, bytes]
    modules: frozenset[str]
    states: tuple[Any, ...]
    """Of `random` and the like, where they were imported by then: as long as they are the same, nobody drew."""


_baseline: list[Baseline] = []


def baseline() -> Baseline:
    """How this process was before the tenant's first eval: noted at the first call."""
    if not _baseline:
        states = tuple(_quiet(look) for look in _LOOKS)
        _baseline.append(Baseline(tuple(sys.path), dict(_environment() or {}), frozenset(sys.modules), states))
    return _baseline[0]


def _environment() -> dict[bytes, bytes] | None:
    found: dict[bytes, bytes] | None = getattr(os.environ, "_data", None)
    return found


class Ambient:
    """Looks at all of it at each checkpoint; `section()` is made anew only when something has changed."""

    def __init__(self, work_folder: str | None) -> None:
        self._folder = work_folder
        self._start = baseline()
        self._seen: tuple[Any, ...] = ()
        self._section = b""
        self._noted: Any = None
        """The state of `random` before a fork."""

    def note_generator(self) -> None:
        """A fork comes next: in the child, `random` seeds itself anew."""
        self._noted = _quiet(_look_at_random)

    def undo_reseed(self) -> None:
        """In the child: `random` as it was before the fork."""
        if self._noted is not None:
            _quiet(lambda: sys.modules["random"]._inst.setstate(self._noted))

    def section(self) -> bytes:
        """The section of the manifest; empty when everything is as it was at the start."""
        seen = (_quiet(os.getcwd), tuple(sys.path), _copy(_environment()), *(_quiet(look) for look in _LOOKS))
        if seen != self._seen:
            self._seen = seen
            self._section = self._packed(*seen)
        return self._section

    def _packed(self, folder: Any, path: Any, environment: Any, *states: Any) -> bytes:
        states = tuple(None if now == start else now for now, start in zip(states, self._start.states, strict=True))
        found = {
            "folder": None if folder == self._folder else _within(folder, self._folder),
            "path": None if path == self._start.path else _packable(self._relative(path)),
            "environment": _difference(environment, self._start.environment),
            "states": states if any(state is not None for state in states) else None,
        }
        kept = {name: value for name, value in found.items() if value is not None}
        return marshal.dumps(kept) if kept else b""

    def _relative(self, path: tuple[Any, ...]) -> list[Any]:
        """Entries as they are; those of the start as their number, those inside the working folder relative to it."""
        places = {entry: number for number, entry in enumerate(self._start.path)}
        return [places.get(entry, _within(entry, self._folder)) for entry in path if type(entry) is str]


def _quiet(look: Callable[[], Any]) -> Any:
    """What `look` sees; None when a tenant's change to a library makes it fail."""
    try:
        return look()
    except Exception:
        return None


def _copy(environment: dict[bytes, bytes] | None) -> dict[bytes, bytes] | None:
    return None if environment is None else dict(environment)


def _packable(value: Any) -> Any:
    try:
        marshal.dumps(value)
    except ValueError:
        return None
    return value


def _within(path: Any, folder: str | None) -> Any:
    """A path inside the working folder as (relative path,), since the next worker's may be elsewhere."""
    if folder is None or type(path) is not str:
        return path
    if path == folder:
        return (".",)
    return (path[len(folder) + 1 :],) if path.startswith(folder + "/") else path


def _difference(
    now: dict[bytes, bytes] | None, start: dict[bytes, bytes]
) -> tuple[dict[bytes, bytes], list[bytes]] | None:
    if now is None or now == start:
        return None
    changed = {name: value for name, value in now.items() if start.get(name) != value}
    return changed, [name for name in start if name not in now]


def _look_at_random() -> Any:
    module = sys.modules.get("random")
    return None if module is None else module._inst.getstate()


def _look_at_numpy() -> Any:
    module = sys.modules.get("numpy.random.mtrand")
    if module is None:
        return None
    state = module._rand.get_state(legacy=False)
    inner = state["state"]
    if state["bit_generator"] != "MT19937":
        return None
    return inner["key"].tobytes(), int(inner["pos"]), int(state["has_gauss"]), float(state["gauss"])


def _look_at_decimal() -> Any:
    module = sys.modules.get("decimal")
    if module is None:
        return None
    *numbers, flags, traps = module.getcontext().__reduce__()[1]
    return (*numbers, tuple(flag.__name__ for flag in flags), tuple(trap.__name__ for trap in traps))


_LOOKS: Final = (_look_at_random, _look_at_numpy, _look_at_decimal)


def restore_ambient(section: bytes, work_folder: str | None) -> list[str]:
    """Working folder, environment and `sys.path`; a folder that is gone leaves the process where it is.

    Gives what `sys.path` has to be in the end: until all is imported, the entries of the start stay there as well.
    """
    found = marshal.loads(section) if section else {}
    if "folder" in found:
        try:
            os.chdir(_absolute(found["folder"], work_folder))
        except OSError:
            pass
    changed, removed = found.get("environment", ({}, ()))
    for name in removed:
        os.environb.pop(name, None)
    os.environb.update(changed)
    path = _paths(found["path"], work_folder) if "path" in found else list(sys.path)
    sys.path[:] = dict.fromkeys([*path, *sys.path])
    return path


def _absolute(path: Any, folder: str | None) -> str:
    return os.path.normpath(os.path.join(folder or ".", path[0])) if type(path) is tuple else str(path)


def _paths(packed: list[Any], folder: str | None) -> list[str]:
    start = baseline().path
    kept = [entry for entry in packed if type(entry) is not int or entry < len(start)]
    return [start[entry] if type(entry) is int else _absolute(entry, folder) for entry in kept]


def restore_decimal(section: bytes) -> dict[str, str]:
    """The decimal context; gives what failed, with the reason."""
    return _restored(section, 2, "state:decimal", _set_decimal)


def restore_generators(section: bytes) -> dict[str, str]:
    """States of `random` and of numpy's global generator; gives what failed, with reasons."""
    failed = _restored(section, 0, "state:random", lambda state: __import__("random").setstate(state))
    return failed | _restored(section, 1, "state:numpy.random", _set_numpy)


def reseed_generators() -> dict[str, str]:
    """`random` and numpy's global generator draw what no copy of this state draws; gives what failed, with reasons."""
    failed = _reseeded("random", "state:random", lambda module: module.seed())
    return failed | _reseeded("numpy.random", "state:numpy.random", lambda module: module.seed())


def _reseeded(module: str, name: str, step: Callable[[Any], None]) -> dict[str, str]:
    found = sys.modules.get(module)
    if found is None:
        return {}
    try:
        step(found)
    except Exception as error:
        return {name: described(error)}
    return {}


def _restored(section: bytes, number: int, name: str, step: Callable[[Any], None]) -> dict[str, str]:
    states = marshal.loads(section).get("states") if section else None
    if states is None or states[number] is None:
        return {}
    try:
        step(states[number])
    except Exception as error:
        return {name: described(error)}
    return {}


def _set_numpy(numbers: Any) -> None:
    numpy = __import__("numpy")
    key, position, has_gauss, gauss = numbers
    numpy.random.set_state(("MT19937", numpy.frombuffer(key, numpy.uint32), position, has_gauss, gauss))


def _set_decimal(packed: Any) -> None:
    decimal = __import__("decimal")
    *numbers, flags, traps = packed
    signals = [[getattr(decimal, name) for name in names] for names in (flags, traps)]
    decimal.setcontext(decimal.Context(*numbers, *signals))
