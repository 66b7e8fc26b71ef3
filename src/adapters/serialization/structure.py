"""Reading of JSON values as attrs classes: strict, and all faults at once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from pathlib import Path
from types import NoneType, SimpleNamespace, UnionType
from typing import Annotated, Any, Literal, NewType, NoReturn, Union, get_args, get_origin
from uuid import UUID

import attrs
from attrs import Attribute, evolve
from cattrs import Converter

from workbell.adapters.serialization import scalars as json_values
from workbell.adapters.serialization.scalars import Fault, Misfit, misfit
from workbell.domain.constraints import MAX_TEXT, Limits, limits_of
from workbell.domain.errors import Invalid

Hook = Callable[[Any, Any], Any]
Make = Callable[[Iterable[Any]], Any]

TEXT = Limits(max_length=MAX_TEXT)
LISTS: Mapping[Any, Make] = {list: list, tuple: tuple, Sequence: tuple, frozenset: frozenset}
OBJECTS = (dict, Mapping)
UNIONS = (Union, UnionType)
SCALARS: Mapping[Any, Callable[[Any], Any]] = {
    bool: json_values.boolean,
    float: json_values.number,
    datetime: json_values.moment,
    date: json_values.day,
    timedelta: json_values.duration,
    Decimal: json_values.decimal,
    UUID: json_values.uuid,
    NoneType: json_values.nothing,
    Any: json_values.free,
    object: json_values.free,
}


def reader(unknown: str) -> Converter:
    """Return a converter that reads every kind of field; `unknown` is said of unknown names."""
    reading = Converter()
    reading.register_structure_hook_func(lambda _: True, _unsupported)
    for kind, read in SCALARS.items():
        reading.register_structure_hook_func(_is(kind), _plain(read))
    # cattrs finds these for their subclasses too, before it asks any predicate
    reading.register_structure_hook(str, _text)
    reading.register_structure_hook(int, _integer)
    for kind in (float, bool):
        reading.register_structure_hook(kind, _plain(SCALARS[kind]))
    for kind in (bytes, Path):
        reading.register_structure_hook(kind, _unsupported)
    for predicate, factory in (
        (_is_choice, _choice_reader),
        (_is_union, _union_reader),
        (_is_list, _list_reader),
        (_is_object, _object_reader),
        (_is_new_type, _new_type_reader),
        (_is_annotated, _annotated_reader),
    ):
        reading.register_structure_hook_factory(predicate, factory)
    reading.register_structure_hook_factory(
        attrs.has, lambda cls, converter: _class_reader(cls, converter, unknown)
    )
    return reading


def _is(kind: object) -> Callable[[Any], bool]:
    return lambda t: t is kind


def _plain(read: Callable[[Any], Any]) -> Hook:
    return lambda value, _: read(value)


def _unsupported(_: Any, kind: Any) -> NoReturn:
    raise TypeError(f"No field of a shape can be {kind!r}.")


def _text(value: Any, kind: Any) -> Any:
    if kind is not str:
        return _choice(value, *_options(kind))
    if len(json_values.text(value)) > MAX_TEXT:
        raise misfit(*TEXT.problems(value))
    return value


def _integer(value: Any, kind: Any) -> Any:
    return json_values.integer(value) if kind is int else _choice(value, *_options(kind))


def _is_choice(kind: Any) -> bool:
    return get_origin(kind) is Literal or (isinstance(kind, type) and issubclass(kind, Enum))


@lru_cache(maxsize=512)
def _options(kind: Any) -> tuple[Mapping[tuple[type, Any], Any], str]:
    """Return a choice's values, told apart by type, and what to say of any other."""
    if get_origin(kind) is Literal:
        members = {_key(value): value for value in get_args(kind)}
    elif issubclass(kind, Enum):
        members = {_key(member.value): member for member in kind}
    else:
        _unsupported(None, kind)
    names = ", ".join(str(value) for _, value in members)
    return members, f"must be one of: {names}"


def _key(value: Any) -> tuple[type, Any]:
    if isinstance(value, Enum):
        value = value.value
    return value.__class__, value


def _choice(value: Any, members: Mapping[tuple[type, Any], Any], said: str) -> Any:
    if value.__class__ in {str, int, bool, NoneType} and (key := _key(value)) in members:
        return members[key]
    raise misfit(said)


def _choice_reader(kind: Any, _: Converter) -> Hook:
    members, said = _options(kind)
    return lambda value, _: _choice(value, members, said)


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in UNIONS


def _union_reader(kind: Any, converter: Converter) -> Hook:
    members = [(part, converter.get_structure_hook(part)) for part in get_args(kind)]

    def read(value: Any, _: Any) -> Any:
        missed: list[Misfit] = []
        for part, hook in members:
            if part is NoneType:
                if value is None:
                    return None
                continue
            try:
                return hook(value, part)
            except Misfit as found:
                missed.append(found)
        raise missed[0] if len(missed) == 1 else _neither(missed)

    return read


def _neither(missed: Sequence[Misfit]) -> Misfit:
    """Return what to say where no member of a union fits: the one that came closest."""
    for found in missed:
        if any(fault.path or not fault.bare for fault in found.faults):
            return found
    said = (found.faults[0].said.removeprefix("must be ") for found in missed)
    return Misfit([Fault("", f"must be {' or '.join(said)}")])


def _is_list(kind: Any) -> bool:
    return get_origin(kind) in LISTS or kind in LISTS


def _list_reader(kind: Any, converter: Converter) -> Hook:
    make = LISTS[get_origin(kind) or kind]
    inner, *more = get_args(kind) or (Any,)
    if more not in ([], [...]):
        _unsupported(None, kind)
    hook = converter.get_structure_hook(inner)

    def read(value: Any, _: Any) -> Any:
        if not isinstance(value, list):
            raise misfit("must be a list")
        try:
            return make([hook(part, inner) for part in value])
        except Misfit:  # read once more, for all that is wrong
            return _parts(((str(n), part) for n, part in enumerate(value)), hook, inner)

    return read


def _is_object(kind: Any) -> bool:
    return (get_origin(kind) or kind) in OBJECTS


def _object_reader(kind: Any, converter: Converter) -> Hook:
    _, inner = get_args(kind) or (str, Any)
    hook = converter.get_structure_hook(inner)
    free = inner is Any or inner is object

    def read(value: Any, _: Any) -> Any:
        if not isinstance(value, dict):
            raise misfit("must be an object")
        if free:
            return json_values.free(value)
        return _parts(((json_values.text(name), part) for name, part in value.items()), hook, inner)

    return read


def _parts(parts: Iterable[tuple[str, Any]], hook: Hook, kind: Any) -> dict[str, Any]:
    """Read the parts of a collection, collecting every fault under its place."""
    found: dict[str, Any] = {}
    faults: list[Fault] = []
    for place, part in parts:
        try:
            found[place] = hook(part, kind)
        except Misfit as misfit_:
            faults.extend(fault.within(place) for fault in misfit_.faults)
    if faults:
        raise Misfit(faults)
    return found


def _is_new_type(kind: Any) -> bool:
    return isinstance(kind, NewType)


def _new_type_reader(kind: Any, converter: Converter) -> Hook:
    base = kind.__supertype__
    hook = converter.get_structure_hook(base)
    return lambda value, _: hook(value, base)


def _is_annotated(kind: Any) -> bool:
    return get_origin(kind) is Annotated


def _annotated_reader(kind: Any, converter: Converter) -> Hook:
    base, limits = kind.__origin__, limits_of(kind.__metadata__)
    while isinstance(base, NewType):
        base = base.__supertype__
    if limits is not None and _is_union(base):
        parts = (p if p is NoneType else Annotated[p, limits] for p in get_args(base))
        base = Union[tuple(parts)]  # noqa: UP007 - made at run time
        limits = None
    hook = converter.get_structure_hook(base)
    if limits is None:
        return lambda value, _: hook(value, base)
    if base is str:
        hook = _plain(json_values.text)
        limits = evolve(limits, max_length=limits.max_length or MAX_TEXT)
    problems = limits.problems

    def read(value: Any, _: Any) -> Any:
        found = hook(value, base)
        if said := tuple(problems(found)):
            raise misfit(*said)
        return found

    return read


def fields_of(cls: type) -> "Sequence[Attribute[Any]]":
    """Return the fields that JSON may give, with their annotations resolved."""
    attrs.resolve_types(cls)
    return [attribute for attribute in attrs.fields(cls) if attribute.init]


def _class_reader(cls: type, converter: Converter, unknown: str) -> Hook:
    fields: Sequence[tuple[str, Any, Hook, bool]] | None = None

    def read(data: Any, _: Any) -> Any:
        nonlocal fields
        if fields is None:  # only now, for a class may hold itself
            fields = [_field(attribute, converter) for attribute in fields_of(cls)]
        if not isinstance(data, Mapping):
            raise misfit("must be an object")
        values: dict[str, Any] = {}
        faults: list[Fault] = []
        given = 0
        for name, kind, hook, required in fields:
            if name in data:
                given += 1
                try:
                    values[name] = hook(data[name], kind)
                except Misfit as found:
                    faults.extend(fault.within(name) for fault in found.faults)
            elif required:
                faults.append(Fault(name, "is required"))
        if given != len(data):
            faults.extend(_unknown_names(data, {name for name, *_ in fields}, unknown))
        return _built(cls, values, faults)

    return read


def _field(attribute: "Attribute[Any]", converter: Converter) -> tuple[str, Any, Hook, bool]:
    kind = Any if attribute.type is None else attribute.type
    required = attribute.default is attrs.NOTHING
    return attribute.alias or attribute.name, kind, converter.get_structure_hook(kind), required


def _unknown_names(data: Mapping[Any, Any], known: set[str], unknown: str) -> Iterable[Fault]:
    for name in data:
        if name not in known:
            plain = str(name).encode(errors="replace").decode()[:100]
            yield Fault(plain.replace("\0", "?"), unknown)


def _built(cls: type, values: Mapping[str, Any], faults: list[Fault]) -> Any:
    """Make the value, or say all that its types and its validators refuse."""
    said = None
    if not faults:
        try:
            return cls(**values)
        except (ValueError, TypeError, Invalid) as error:
            said = _said(error)
    faults.extend(_validator_faults(cls, values))
    raise Misfit(faults or [Fault("", text, bare=False) for text in said or ()])


def _validator_faults(cls: type, values: Mapping[str, Any]) -> Iterable[Fault]:
    """Ask each validator by itself, for making the value stops at the first that refuses."""
    attributes = fields_of(cls)
    known = {a.name: values.get(a.alias or a.name, a.default) for a in attributes}
    for attribute in attributes:
        name = attribute.alias or attribute.name
        if name not in values or attribute.validator is None or attribute.converter is not None:
            continue
        try:
            attribute.validator(SimpleNamespace(**known), attribute, values[name])
        except (ValueError, TypeError, Invalid) as error:
            yield from (Fault(name, text, bare=False) for text in _said(error))
        except AttributeError:
            continue  # it asks for more than the fields; the whole value's error tells


def _said(error: Exception) -> Sequence[str]:
    if isinstance(error, Invalid):
        texts = [text for said in error.field_errors.values() for text in said]
        return texts or [error.detail]
    return [str(error.args[0]) if error.args else type(error).__name__]
