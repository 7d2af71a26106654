"""Changes to modules of the standard library that are made when a tenant imports them: unused, they cost nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType

Change = Callable[[ModuleType], None]


class _Loader(SourceFileLoader):
    """Loads the module as always, then changes it."""

    change: Change

    def exec_module(self, module: ModuleType) -> None:
        """Run the module, then the change."""
        super().exec_module(module)
        self.change(module)


class ImportHook:
    """On `sys.meta_path`, in front."""

    def __init__(self, changes: dict[str, Change]) -> None:
        self._changes = changes

    def install(self) -> None:
        """From now on; modules that are there already are changed at once."""
        for name in [name for name in self._changes if name in sys.modules]:
            self._changes.pop(name)(sys.modules[name])
        if self._changes:
            sys.meta_path.insert(0, self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of one of our modules; None for all others, which the finders behind this one find."""
        change = self._changes.get(name)
        if change is None:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            loader = _Loader(spec.loader.name, spec.loader.path)
            loader.change = change
            spec.loader = loader
        return spec
