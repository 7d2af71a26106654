"""The names of `typing` that annotations use, without that module: it costs each session 0.6 MB and each start 3 ms.

With `from __future__ import annotations` no annotation is ever evaluated; what is left at run time are base classes and
aliases. Checkers of types see the real ones.
"""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any as Any
    from typing import Final as Final
    from typing import NamedTuple as NamedTuple
    from typing import NoReturn as NoReturn
else:

    class _NamedTupleMaker(type):
        """`class Point(NamedTuple): …` makes a named tuple of the fields, with the methods of the body."""

        def __new__(cls, name, bases, body):
            if not bases:
                return super().__new__(cls, name, bases, body)
            fields = body.pop("__annotations__", {})
            defaults = [body.pop(field) for field in fields if field in body]
            made = namedtuple(name, fields, defaults=defaults, module=body.pop("__module__"))
            for key, value in body.items():
                setattr(made, key, value)
            return made

    class NamedTuple(metaclass=_NamedTupleMaker):
        """As `typing.NamedTuple`."""

    class Any:
        """As `typing.Any`."""

    Final = NoReturn = Any
