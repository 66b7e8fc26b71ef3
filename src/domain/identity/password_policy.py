"""Password policy: length, common passwords, similarity to names."""

import unicodedata
from collections.abc import Iterable
from datetime import timedelta
from difflib import SequenceMatcher
from functools import cache
from importlib.resources import files

MIN_LENGTH = 8
"""In characters (ASVS 6.2.1)."""
GENERATED_PASSWORD_LIFETIME = timedelta(days=7)
"""Validity of a password that the service generated (ASVS 6.4.1)."""
MAX_BYTES = 1024
"""In UTF-8. A limit is needed because passwords are never truncated (ASVS 6.2.8)."""
MIN_NAME_LENGTH = 4
"""Shorter names are not compared: they occur in too many words."""
MIN_LENGTH_BESIDE_NAME = 5
"""Minimum number of characters besides a name that the password contains."""
MAX_SIMILARITY = 0.7


def password_errors(password: str, *, names: Iterable[str], email: str) -> list[str]:
    """Return one sentence for each problem of a new password."""
    if not _has_valid_characters(password):
        return ["The password contains characters that are not allowed."]
    if len(password) < MIN_LENGTH:
        return [f"The password must have at least {MIN_LENGTH} characters."]
    if len(password.encode()) > MAX_BYTES:
        return [f"The password must have at most {MAX_BYTES} bytes."]
    errors: list[str] = []
    if password.isdigit():
        errors.append("The password must not consist of digits only.")
    if _fold_case(password) in common_passwords():
        errors.append("The password is too common.")
    if any(_is_similar(password, name) for name in [*names, email.rpartition("@")[0], email]):
        errors.append("The password is too similar to the name or the email address.")
    return errors


@cache
def common_passwords() -> frozenset[str]:
    """Return the most common passwords, which attackers try first."""
    text = files(__name__.rpartition(".")[0]).joinpath("common_passwords.txt").read_text("utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))


def _has_valid_characters(password: str) -> bool:
    return not any(c == "\0" or unicodedata.category(c) == "Cs" for c in password)


def _fold_case(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _is_similar(password: str, name: str) -> bool:
    word, secret = _fold_case(name), _fold_case(password)
    if len(word) < MIN_NAME_LENGTH:
        return False
    if word in secret and len(secret.replace(word, "")) < MIN_LENGTH_BESIDE_NAME:
        return True
    matcher = SequenceMatcher(None, secret, word, autojunk=False)
    return matcher.real_quick_ratio() >= MAX_SIMILARITY and matcher.ratio() >= MAX_SIMILARITY
