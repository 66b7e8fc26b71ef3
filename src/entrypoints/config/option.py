"""Declaration of one setting: parsing, validation, documentation."""

from collections.abc import Callable
from datetime import time
from enum import StrEnum
from typing import Any, Final

from attrs import Attribute, Converter, Factory, field, frozen

from workbell.domain.errors import Invalid
from workbell.entrypoints.config.parsers import in_range, parse_float, parse_int

Reader = Callable[[str], Any]
Check = Callable[[Any], None]

PREFIX: Final = "WORKBELL_"
_KEY: Final = "option"


@frozen(kw_only=True)
class Option:
    """Metadata of a setting; see `option`."""

    help: str
    read: Reader
    check: Check | None
    secret: bool
    group: str
    documented: str | None

    def parse(self, text: str) -> Any:
        """
        Parse and check the text of a setting.

        Raises:
            Invalid: The text is invalid. The message repeats it unless it is secret.
        """
        try:
            value = self.read(text)
            if self.check is not None:
                self.check(value)
        except Invalid as error:
            raise Invalid(
                error.detail if self.secret else f"{error.detail}, not {text!r}"
            ) from None
        return value

    def validate(self, _: Any, attribute: "Attribute[Any]", value: Any) -> None:
        """Check a value given by code; raises Invalid."""
        if value is None or self.check is None:
            return
        try:
            self.check(value)
        except Invalid as error:
            raise Invalid.field(attribute.name, error.detail) from None


def option(
    default: Any,
    help: str,
    *,
    read: Reader = str,
    check: Check | None = None,
    normalise: Callable[[Any], Any] | None = None,
    secret: bool = False,
    group: str = "",
    documented: str | None = None,
) -> Any:
    """
    Declare a setting as an attrs field.

    Args:
        default: The value, or a function of the settings declared above it.
        help: A sentence for operators.
        read: Parses text into the value; default: the text itself.
        check: Raises Invalid for values out of bounds, from text and from code.
        normalise: Converts values to their canonical form, also those from code.
        secret: Whether `repr` and error messages omit the value.
        group: Heading of this setting and those after it.
        documented: The default as documented, if it is computed.
    """
    metadata = Option(
        help=help, read=read, check=check, secret=secret, group=group, documented=documented
    )
    return field(
        default=Factory(default, takes_self=True) if callable(default) else default,
        converter=None if normalise is None else Converter(normalise),
        validator=metadata.validate,
        repr=not secret,
        metadata={_KEY: metadata},
    )


def int_option(
    default: Any, help: str, minimum: int, maximum: int | None = None, **options: Any
) -> Any:
    """Declare an integer setting with inclusive bounds; see `option`."""
    check = in_range(minimum, maximum)
    return option(default, help, read=parse_int, check=check, **options)


def float_option(default: float, help: str, minimum: float, maximum: float) -> Any:
    """Declare a setting with inclusive bounds that may be a fraction; see `option`."""
    return option(default, help, read=parse_float, check=in_range(minimum, maximum))


def get_option(attribute: "Attribute[Any]") -> Option:
    """Return the metadata of a setting."""
    metadata: Option = attribute.metadata[_KEY]
    return metadata


def format_default(attribute: "Attribute[Any]") -> str:
    """Return the default of a setting as text, empty if there is none."""
    documented = get_option(attribute).documented
    return format_value(attribute.default) if documented is None else documented


def variable(name: str) -> str:
    """Return a field's variable: `data_dir` is `WORKBELL_DATA_DIR`."""
    return f"{PREFIX}{name.upper()}"


def format_value(value: Any) -> str:
    """Format a value for an environment variable."""
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
            return ",".join(map(format_value, value))
        case _:
            return str(value)
