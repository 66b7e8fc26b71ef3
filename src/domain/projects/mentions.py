"""Mentions of users in comments: @username in plain text."""

import re
from collections.abc import Iterable
from typing import Final

MAX_MENTIONS: Final = 50
"""How many mentions of one comment count."""
_MENTION = re.compile(r"(?<![\w@./+-])@([\w.+-]{1,150})")


def find_mentions(plain_texts: Iterable[str]) -> list[str]:
    """
    Return the usernames that texts mention, in order, each once.

    The texts are those parts of a Markdown document that are neither code nor a
    link. An @ within a word, such as that of an email address, is no mention; a
    full stop after a name is not part of it.
    """
    names = (match[1].rstrip(".-") for text in plain_texts for match in _MENTION.finditer(text))
    return list(dict.fromkeys(name.casefold() for name in names if name))[:MAX_MENTIONS]
