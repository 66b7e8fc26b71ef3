"""Where settings are given: the environment, `.env` and a TOML file."""

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
from workbell.entrypoints.config.option import PREFIX, option_of, variable

CONFIG: Final = f"{PREFIX}CONFIG"
_OTHERS: Final = re.compile(rf"{PREFIX}TEST_.*|.*_SERVICE_(HOST|PORT).*|.*_PORT_\d+_.*")


@frozen
class SettingValue:
    """What was written for a setting, and where."""

    text: str
    where: str = ""


@frozen
class LoadedSettings:
    """What the sources say, the nearest one first, and what is wrong with them."""

    given: dict[str, SettingValue] = Factory(dict[str, SettingValue])
    wrong: dict[str, str] = Factory(dict[str, str])

    def add(self, known: Collection[str], texts: Mapping[str, Any], where: str) -> None:
        """Take what no nearer source has; note names that are nobody's."""
        for name, text in texts.items():
            if name not in known:
                self.wrong[name] = f"there is no such setting{_suggestion(name, known)}{where}"
            else:
                self.given.setdefault(name, SettingValue(text.strip(), where))

    def values_of(self, fields: Iterable["Attribute[Any]"]) -> dict[str, Any]:
        """Return what the texts stand for, an empty one for the default; note what does not fit."""
        values: dict[str, Any] = {}
        for attribute in fields:
            name = variable(attribute.name)
            given = self.given.get(name, SettingValue(""))
            try:
                if given.text:
                    values[attribute.name] = option_of(attribute).parse(given.text)
            except Invalid as error:
                self.wrong[name] = f"{error.detail}{given.where}"
        return values


def load_sources(
    fields: Collection[str], environ: Mapping[str, str], folder: Path, config: Path | None
) -> LoadedSettings:
    """
    Return what is written for each variable: environment, then `.env`, then TOML.

    Raises:
        Invalid: A file cannot be read.
    """
    known = {variable(name) for name in fields} | {CONFIG}
    gathered = LoadedSettings()
    gathered.add(known, dict(_ours(environ)), "")
    gathered.add(known, dict(_ours(_dotenv(folder / ".env"))), " (in .env)")
    named = gathered.given.pop(CONFIG, None)
    if config is None and named is not None and named.text:
        config = folder / named.text
    if config is not None:
        gathered.add(known - {CONFIG}, _toml(config), f" (in {config.name})")
    return gathered


def _ours(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Pass over other programs' names, and those that Kubernetes makes up for a service."""
    for name, text in environ.items():
        if not name.upper().startswith(PREFIX) or _OTHERS.fullmatch(name):
            continue
        if name.endswith("PORT") and text.startswith("tcp://"):
            continue
        yield name, text


def _dotenv(path: Path) -> dict[str, str]:
    try:
        written = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, IsADirectoryError):
        return {}
    except OSError as error:
        raise Invalid(f"{path.absolute()}: {error.strerror}") from error
    except ValueError as error:
        raise Invalid(f"{path.absolute()}: {error}") from error
    found: dict[str, str] = {}
    for line in parse_stream(StringIO(written)):
        if line.error:
            raise Invalid(f"{path.name}, line {line.original.line}: not NAME=value")
        if line.key is not None:
            found[line.key] = line.value or ""
    return found


def _toml(path: Path) -> dict[str, str]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise Invalid(f"{path}: {error}") from error
    return {variable(key): _plain(path, key, value) for key, value in table.items()}


def _plain(path: Path, key: str, value: Any) -> str:
    """Return a TOML value as it would be written in the environment."""
    match value:
        case bool():
            return str(value).lower()
        case str() | int():
            return str(value)
        case list() if all(isinstance(item, str) and "," not in item for item in value):
            return ",".join(value)
        case _:
            raise Invalid(f"{path}: {key} must be text, a number, true, false or a list of texts")


def _suggestion(name: str, known: Collection[str]) -> str:
    rests = [one.removeprefix(PREFIX) for one in known]
    near = get_close_matches(name.upper().removeprefix(PREFIX), rests, n=1)
    return f"; did you mean {PREFIX}{near[0]}?" if near else ""
