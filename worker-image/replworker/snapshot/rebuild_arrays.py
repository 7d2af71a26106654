"""What a checkpoint calls for arrays of numpy and for what is inside frames of pandas."""

from __future__ import annotations

import math
from _pickle import loads

from replwire.hints import Any


def _protected(view: Any, writable: bool) -> Any:
    if not writable:
        view.flags.writeable = False
    return view


class ArrayRebuilder:
    """The part of `Rebuilder` that is about arrays."""

    def array_view(self, base: Any, shape: Any, kind: Any, offset: int, strides: Any, writable: bool) -> Any:
        """A numpy array that shares the memory of another one."""
        import numpy

        plain = numpy.asarray(base)
        memory = (plain if plain.flags.c_contiguous else plain.T).reshape(-1).view(numpy.uint8)
        return _protected(numpy.ndarray(shape, kind, memory, offset, strides), writable)

    def record_view(self, base: Any, shape: Any, kind: Any, offset: int, strides: Any, writable: bool) -> Any:
        """The same for a `recarray`."""
        import numpy

        return self.array_view(base, shape, kind, offset, strides, writable).view(numpy.recarray)

    def object_view(self, base: Any, start: int, step: int, shape: Any, writable: bool) -> Any:
        """The same for arrays of Python objects."""
        memory = (base if base.flags.c_contiguous else base.T).reshape(-1)
        if step == 1:
            memory = memory[start:]
            return _protected(memory[: math.prod(shape)].reshape(shape), writable)
        return _protected(memory[start::step][: shape[0]], writable)

    def plain_array(self, shape: Any, packed: Any) -> Any:
        """An array of objects that never change."""
        import numpy

        made = numpy.empty(math.prod(shape), object)
        made[:] = loads(packed)
        return made.reshape(shape)

    def set_sharing(self, holder: Any, refs: Any) -> None:
        """A block or index of pandas shares its values with the others that `refs` knows."""
        if hasattr(holder, "refs"):
            holder.refs = refs
            refs.add_reference(holder)
        else:
            holder._references = refs
            refs.add_index_reference(holder)
