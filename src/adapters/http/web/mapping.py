"""Mapping between HTTP bodies and classes of the inner layers."""

from functools import cache
from typing import Any, TypeVar

from attrs import fields_dict, has

T = TypeVar("T")


def copy_fields(cls: type[T], source: Any, **values: Any) -> T:
    """Return a `cls` with the values, else `source`'s fields of that name."""
    target: Any = cls
    for name in _common_names(target, source.__class__):
        if name not in values:
            values[name] = getattr(source, name)
    return cls(**values)


@cache
def _common_names(cls: type[Any], source: type[Any]) -> tuple[str, ...]:
    of_source = fields_dict(source) if has(source) else {}
    return tuple(name for name in fields_dict(cls) if name in of_source or hasattr(source, name))
