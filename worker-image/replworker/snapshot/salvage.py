"""Reads a stream in which some objects fail to load, and goes on: each failure costs the names that reach it.

Python's own unpickler, in which a step that raises leaves a mark in place of its result. What is built from a mark is
marked as well, so the memo keeps its numbers and objects shared with sound names survive.
"""

from __future__ import annotations

import gc
import pickle
import sys
import types
from collections.abc import Callable, Iterable
from functools import partial
from typing import IO, Any, ClassVar, Final

from replworker.snapshot.contract import described
from replworker.snapshot.rebuild import Rebuilder


class _Mark:
    """Stands for an object that could not be made."""


_Python: Any = pickle._Unpickler
_Step = Callable[["SalvagingUnpickler"], None]


class SalvagingUnpickler(_Python):  # type: ignore[misc]
    """An unpickler that marks what fails; `reason_for` tells whether a value reaches a mark.

    `find` resolves globals; it may raise.
    """

    dispatch: ClassVar[dict[int, Any]] = dict(_Python.dispatch)

    def __init__(self, file: IO[bytes], buffers: Iterable[Any], find: Callable[[str, str], Any]) -> None:
        super().__init__(file, buffers=buffers)
        self._find = find
        self._marked: dict[int, tuple[object, str]] = {}
        self._clean: set[int] = set()

    def find_class(self, module: str, name: str) -> Any:
        """A global, or a mark."""
        try:
            return self._find(module, name)
        except BaseException as error:  # whatever a tenant's module raises, and an interrupt of one that loops
            return self._mark(_Mark(), _reason_of(error))

    def reason_for(self, value: object, stop: set[int]) -> str | None:
        """Why this value can't be kept, or None; `stop` are ids of containers that are not looked into."""
        if not self._marked:
            return None
        seen: set[int] = set()
        waiting = [value]
        while waiting:
            found = waiting.pop()
            key = id(found)
            if key in self._marked:
                return self._marked[key][1]
            if key in seen or key in self._clean or key in stop or isinstance(found, types.ModuleType):
                continue
            seen.add(key)
            waiting += gc.get_referents(found)
        self._clean |= seen
        return None

    def _mark(self, subject: Any, reason: str) -> Any:
        self._marked.setdefault(id(subject), (subject, reason))
        return subject

    def _reason(self, *subjects: Any) -> str | None:
        return next((self._marked[id(subject)][1] for subject in subjects if id(subject) in self._marked), None)

    def _make(self, make: Callable[[], Any], *needs: Any) -> Any:
        """What `make` makes; a mark if it raises or needs something marked."""
        reason = self._reason(*needs)
        if reason is None:
            try:
                return make()
            except BaseException as error:  # as in `find_class`
                reason = _reason_of(error)
        return self._mark(_Mark(), reason)

    def _fill(self, subject: Any, fill: Callable[[], Any], *parts: Any) -> None:
        """Run `fill` on a container or instance; it is marked if that raises or a part is marked."""
        reason = self._reason(subject, *parts)
        if not isinstance(subject, _Mark) and (reason is None or type(subject) in (list, dict, set)):
            try:
                fill()
            except BaseException as error:  # as in `find_class`
                reason = reason or _reason_of(error)
        if reason is not None:
            self._mark(subject, reason)

    def load_reduce(self) -> None:
        """`callable(*args)`."""
        args = self.stack.pop()
        function = self.stack.pop()
        made = self._make(lambda: function(*args), function, args)
        self.stack.append(made)
        if id(made) in self._marked and _is_setter(function):
            self._mark(args[0], self._marked[id(made)][1])  # without its state it is half made

    def load_newobj(self) -> None:
        """`cls.__new__(cls, *args)`."""
        args = self.stack.pop()
        cls = self.stack.pop()
        self.stack.append(self._make(lambda: cls.__new__(cls, *args), cls, args))

    def load_newobj_ex(self) -> None:
        """The same with keywords."""
        keywords = self.stack.pop()
        args = self.stack.pop()
        cls = self.stack.pop()
        self.stack.append(self._make(lambda: cls.__new__(cls, *args, **keywords), cls, args, keywords))

    def load_frozenset(self) -> None:
        """A frozen set of the items above the mark."""
        items = self.pop_mark()
        self.stack.append(self._make(lambda: frozenset(items), *items))

    def load_build(self) -> None:
        """State of an instance."""
        state = self.stack[-1]
        instance = self.stack[-2]
        height = len(self.stack)
        self._fill(instance, super().load_build, state)
        del self.stack[height - 1 :]

    def load_append(self) -> None:
        """One item to a list."""
        self._extend([self.stack.pop()])

    def load_appends(self) -> None:
        """Items to a list."""
        self._extend(self.pop_mark())

    def _extend(self, items: list[Any]) -> None:
        subject = self.stack[-1]
        self._fill(subject, lambda: [subject.append(item) for item in items], *items)

    def load_additems(self) -> None:
        """Items to a set."""
        items = self.pop_mark()
        subject = self.stack[-1]
        self._fill(subject, lambda: [subject.add(item) for item in items], *items)

    def load_setitem(self) -> None:
        """One item to a dict."""
        value = self.stack.pop()
        self._set_items([self.stack.pop(), value])

    def load_setitems(self) -> None:
        """Items to a dict."""
        self._set_items(self.pop_mark())

    def _set_items(self, items: list[Any]) -> None:
        subject = self.stack[-1]
        for key, value in zip(items[::2], items[1::2], strict=True):
            self._fill(subject, partial(subject.__setitem__, key, value), key, value)

    def _tuple(self, load: _Step, count: int | None) -> None:
        items = self.stack[-count:] if count is not None else list(self.stack)
        load(self)
        reason = self._reason(*items)
        if reason is not None:
            self._mark(self.stack[-1], reason)

    def load_tuple(self) -> None:
        """A tuple of the items above the mark."""
        self._tuple(_Python.load_tuple, None)

    def load_tuple1(self) -> None:
        """A tuple of one."""
        self._tuple(_Python.load_tuple1, 1)

    def load_tuple2(self) -> None:
        """A pair."""
        self._tuple(_Python.load_tuple2, 2)

    def load_tuple3(self) -> None:
        """A tuple of three."""
        self._tuple(_Python.load_tuple3, 3)


_STEPS: Final = {
    pickle.REDUCE: "load_reduce",
    pickle.NEWOBJ: "load_newobj",
    pickle.NEWOBJ_EX: "load_newobj_ex",
    pickle.FROZENSET: "load_frozenset",
    pickle.BUILD: "load_build",
    pickle.APPEND: "load_append",
    pickle.APPENDS: "load_appends",
    pickle.ADDITEMS: "load_additems",
    pickle.SETITEM: "load_setitem",
    pickle.SETITEMS: "load_setitems",
    pickle.TUPLE: "load_tuple",
    pickle.TUPLE1: "load_tuple1",
    pickle.TUPLE2: "load_tuple2",
    pickle.TUPLE3: "load_tuple3",
}
for _code, _name in _STEPS.items():
    SalvagingUnpickler.dispatch[_code[0]] = getattr(SalvagingUnpickler, _name)


def _is_setter(function: Any) -> bool:
    is_ours = type(function) is types.MethodType and type(function.__self__) is Rebuilder
    return is_ours and function.__name__.startswith("set_")


def _reason_of(error: BaseException) -> str:
    return "took too long to load" if isinstance(error, KeyboardInterrupt) else described(error)


def containers_of_modules(*more: object) -> set[int]:
    """Ids of every module's dict, and of `more`: where the search for marks ends."""
    return {id(vars(module)) for module in list(sys.modules.values()) if isinstance(module, types.ModuleType)} | {
        *map(id, more)
    }
