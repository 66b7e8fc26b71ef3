"""The values of secret settings, to be hidden in stored texts."""

from collections.abc import Iterator, Sequence
from urllib.parse import parse_qsl, unquote, urlsplit

from attrs import fields

from workbell.entrypoints.config.option import get_option
from workbell.entrypoints.config.settings import Settings


def secret_values(settings: Settings) -> Sequence[str]:
    """
    Return the texts of secret settings, without duplicates.

    Of a URL these are its password, as written and decoded, and the values of
    its query, where database drivers accept passwords, too.
    """
    return [text for text in dict.fromkeys(_secrets(settings)) if text]


def _secrets(settings: Settings) -> Iterator[str]:
    for attribute in fields(Settings):
        value = getattr(settings, attribute.name)
        if not get_option(attribute).secret or value is None:
            continue
        if attribute.name.endswith("_url"):
            yield from _url_secrets(value)
        else:
            yield from [value] if isinstance(value, str) else value


def _url_secrets(value: str) -> Iterator[str]:
    url = urlsplit(value)
    password = url.netloc.rpartition("@")[0].partition(":")[2]
    yield password
    yield unquote(password)
    for name, text in parse_qsl(url.query):
        if "pass" in name.lower():
            yield text
