"""The password policy: length, common passwords, likeness to names."""

import unicodedata
from collections.abc import Iterable
from datetime import timedelta
from difflib import SequenceMatcher
from functools import cache
from importlib.resources import files

MIN_LENGTH = 8
"""In characters (ASVS 6.2.1)."""
MADE_UP_LIFE = timedelta(days=7)
"""How long a password works that the service made up (ASVS 6.4.1)."""
MAX_BYTES = 1024
"""In UTF-8: nothing is ever cut off (ASVS 6.2.8), so there must be an end."""
MIN_NAME_LENGTH = 4
"""Names shorter than this are not compared: they occur in too many words."""
MIN_OWN_LENGTH = 5
"""How much a password has besides a name that stands in it."""
LIKENESS = 0.7


def password_errors(password: str, *, names: Iterable[str], email: str) -> list[str]:
    """Return what is wrong with a new password: nothing, or one sentence each."""
    if not _is_text(password):
        return ["A password is made of valid characters."]
    if len(password) < MIN_LENGTH:
        return [f"A password has at least {MIN_LENGTH} characters."]
    if len(password.encode()) > MAX_BYTES:
        return [f"A password has at most {MAX_BYTES} bytes."]
    errors: list[str] = []
    if password.isdigit():
        errors.append("A password is not made of digits only.")
    if _folded(password) in common_passwords():
        errors.append("This password is one of the most common ones.")
    if any(_is_like(password, name) for name in [*names, email.rpartition("@")[0], email]):
        errors.append("The password is too much like the name or the address.")
    return errors


@cache
def common_passwords() -> frozenset[str]:
    """Return the passwords that are tried first by whoever guesses."""
    text = files(__name__.rpartition(".")[0]).joinpath("common_passwords.txt").read_text("utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))


def _is_text(password: str) -> bool:
    return not any(c == "\0" or unicodedata.category(c) == "Cs" for c in password)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _is_like(password: str, name: str) -> bool:
    word, secret = _folded(name), _folded(password)
    if len(word) < MIN_NAME_LENGTH:
        return False
    if word in secret and len(secret.replace(word, "")) < MIN_OWN_LENGTH:
        return True
    likeness = SequenceMatcher(None, secret, word, autojunk=False)
    return likeness.real_quick_ratio() >= LIKENESS and likeness.ratio() >= LIKENESS
