"""One setting: how it is read from text, checked, shown and explained."""

from collections.abc import Callable, Iterable
from datetime import time
from enum import StrEnum
from typing import Any, Final

from attrs import Attribute, Converter, Factory, field, frozen

from workbell.domain.errors import Invalid

Reader = Callable[[str], Any]
Check = Callable[[Any], None]

PREFIX: Final = "WORKBELL_"
_KEY: Final = "option"


@frozen(kw_only=True)
class Option:
    """What is known of a setting besides its name, type and default."""

    help: str
    read: Reader
    check: Check | None
    secret: bool
    group: str
    documented: str | None

    def parse(self, text: str) -> Any:
        """
        Return what a text stands for.

        Raises:
            Invalid: The text does not fit; a secret is not repeated in the reason.
        """
        try:
            value = self.read(text)
            if self.check is not None:
                self.check(value)
        except Invalid as error:
            given = "" if self.secret else f", not {text!r}"
            raise Invalid(f"{error.detail}{given}") from None
        return value


def option(
    default: Any,
    help: str,
    *,
    read: Reader,
    check: Check | None = None,
    normal: Callable[[Any], Any] | None = None,
    secret: bool = False,
    group: str = "",
    shown: str | None = None,
) -> Any:
    """
    Declare a setting as an attrs field.

    Args:
        default: The value, or a function of the settings declared above it.
        help: A sentence for people who run the service.
        read: Turns text into the value.
        check: Refuses values that are out of bounds, from text and from code.
        normal: Brings values into one form, also those given by code.
        secret: Whether the value stays out of `repr` and of messages.
        group: The heading under which this setting and those after it stand.
        shown: What documents show as the default, where it is computed.
    """
    known = Option(help=help, read=read, check=check, secret=secret, group=group, documented=shown)
    return field(
        default=Factory(default, takes_self=True) if callable(default) else default,
        converter=None if normal is None else Converter(normal),
        validator=None if check is None else _named(check),
        repr=not secret,
        metadata={_KEY: known},
    )


def option_of(attribute: "Attribute[Any]") -> Option:
    """Return what was declared for a field."""
    known: Option = attribute.metadata[_KEY]
    return known


def default_of(attribute: "Attribute[Any]") -> str:
    """Return a field's default as it would be written, empty for none."""
    known = option_of(attribute)
    return written(attribute.default) if known.documented is None else known.documented


def variable(name: str) -> str:
    """Return the environment variable of a field: `data_dir` is `WORKBELL_DATA_DIR`."""
    return f"{PREFIX}{name.upper()}"


def written(value: Any) -> str:
    """Return a value as it is written in the environment."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case StrEnum():
            return value.value
        case time():
            return value.isoformat("minutes")
        case tuple():
            return ",".join(map(written, value))
        case _:
            return str(value)


def example_of(attributes: Iterable["Attribute[Any]"]) -> str:
    """Return an environment file that lists the settings, all of them commented out."""
    lines = [
        "# Settings of Workbell. Copy this file to .env and uncomment what shall differ.",
        "# The environment goes before .env, and .env before a TOML file that WORKBELL_CONFIG names.",
        "# Lists are comma-separated. An empty value stands for the default.",
    ]
    for attribute in attributes:
        known = option_of(attribute)
        lines += ["", f"# ---- {known.group} ----"] if known.group else []
        lines += ["", f"# {known.help}"]
        lines += [
            f"# {variable(attribute.name)}={'' if known.documented else default_of(attribute)}"
        ]
    return "\n".join(lines) + "\n"


def reference_of(attributes: Iterable["Attribute[Any]"]) -> str:
    """Return tables of the settings in Markdown, one for each group."""
    lines = ["# Settings"]
    for attribute in attributes:
        known = option_of(attribute)
        if known.group:
            lines += [
                "",
                f"## {known.group}",
                "",
                "| Variable | Default | Meaning |",
                "|---|---|---|",
            ]
        default = default_of(attribute)
        shown = f"`{default}`" if default else "none"
        lines.append(f"| `{variable(attribute.name)}` | {shown} | {known.help} |")
    return "\n".join(lines) + "\n"


def _named(check: Check) -> Callable[[Any, "Attribute[Any]", Any], None]:
    def validate(_: Any, attribute: "Attribute[Any]", value: Any) -> None:
        if value is None:
            return
        try:
            check(value)
        except Invalid as error:
            raise Invalid.field(attribute.name, error.detail) from None

    return validate
