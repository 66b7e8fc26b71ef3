"""Sources of settings: environment, `.env` and a TOML file."""

import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from typing import Any, Final

from attrs import Attribute, Factory, frozen
from dotenv.parser import parse_stream

from workbell.domain.errors import Invalid
from workbell.entrypoints.config.option import PREFIX, format_value, get_option, variable

CONFIG: Final = f"{PREFIX}CONFIG"
_FOREIGN: Final = re.compile(rf"{PREFIX}TEST_.*|.*_SERVICE_(HOST|PORT).*|.*_PORT_\d+_.*")


@frozen
class SettingValue:
    """Text of a setting, and a note on its source for error messages."""

    text: str
    source: str = ""


@frozen
class LoadedSettings:
    """Values by variable, from the source of highest precedence, and errors."""

    values: dict[str, SettingValue] = Factory(dict[str, SettingValue])
    errors: dict[str, str] = Factory(dict[str, str])

    def add(self, known: Collection[str], texts: Mapping[str, Any], source: str) -> None:
        """Add values not set by an earlier source; unknown names are errors."""
        for name, text in texts.items():
            if name not in known:
                self.errors[name] = f"there is no such setting{_suggestion(name, known)}{source}"
            else:
                self.values.setdefault(name, SettingValue(text.strip(), source))

    def parse_values(self, fields: Iterable["Attribute[Any]"]) -> dict[str, Any]:
        """Parse all values; empty text means the default; failures go to `errors`."""
        values: dict[str, Any] = {}
        for attribute in fields:
            name = variable(attribute.name)
            value = self.values.get(name, SettingValue(""))
            try:
                if value.text:
                    values[attribute.name] = get_option(attribute).parse(value.text)
            except Invalid as error:
                self.errors[name] = f"{error.detail}{value.source}"
        return values


def load_sources(
    fields: Collection[str], environ: Mapping[str, str], folder: Path, config: Path | None
) -> LoadedSettings:
    """
    Load all sources: environment, then `.env`, then the TOML file.

    Raises:
        Invalid: A file cannot be read.
    """
    known = {variable(name) for name in fields} | {CONFIG}
    loaded = LoadedSettings()
    loaded.add(known, dict(_workbell_variables(environ)), "")
    loaded.add(known, dict(_workbell_variables(_read_dotenv(folder / ".env"))), " (in .env)")
    config_value = loaded.values.pop(CONFIG, None)
    if config is None and config_value is not None and config_value.text:
        config = folder / config_value.text
    if config is not None:
        loaded.add(known - {CONFIG}, _read_toml(config), f" (in {config.name})")
    return loaded


def _workbell_variables(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield our variables, without those that Kubernetes sets for a service."""
    for name, text in environ.items():
        foreign = _FOREIGN.fullmatch(name) or (name.endswith("PORT") and text.startswith("tcp://"))
        if name.upper().startswith(PREFIX) and not foreign:
            yield name, text


def _read_dotenv(path: Path) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, IsADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise Invalid(f"{path.absolute()}: {getattr(error, 'strerror', error)}") from error
    variables: dict[str, str] = {}
    for line in parse_stream(StringIO(text)):
        if line.error:
            raise Invalid(f"{path.name}, line {line.original.line}: must be NAME=value")
        if line.key is not None:
            variables[line.key] = line.value or ""
    return variables


def _read_toml(path: Path) -> dict[str, str]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Invalid(f"{path}: {getattr(error, 'strerror', error)}") from error
    return {variable(key): _toml_text(path, key, value) for key, value in table.items()}


def _toml_text(path: Path, key: str, value: Any) -> str:
    """Format a TOML value for an environment variable."""
    match value:
        case bool() | str() | int():
            return format_value(value)
        case list() if all(isinstance(item, str) and "," not in item for item in value):
            return ",".join(value)
        case _:
            raise Invalid(f"{path}: {key} must be text, a number, true, false or a list of texts")


def _suggestion(name: str, known: Collection[str]) -> str:
    names = [other.removeprefix(PREFIX) for other in known]
    near = get_close_matches(name.upper().removeprefix(PREFIX), names, n=1)
    return f"; did you mean {PREFIX}{near[0]}?" if near else ""
