"""Mapping between HTTP bodies and classes of the inner layers."""

from typing import Any, TypeVar

from attrs import fields_dict

T = TypeVar("T")


def copy_fields(cls: type[T], source: object, **values: Any) -> T:
    """Return a `cls` with the values, else `source`'s fields of that name."""
    for name in fields_dict(cls):  # type: ignore[arg-type]
        if name not in values and hasattr(source, name):
            values[name] = getattr(source, name)
    return cls(**values)
