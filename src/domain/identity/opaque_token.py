"""Opaque tokens: shown once, kept as a hash, compared in constant time."""

import hashlib
import hmac
import re
from enum import StrEnum

from attrs import field, frozen

from workbell.domain.errors import Unauthenticated

_FORM = re.compile(r"(wbk|wbs)_([A-Za-z0-9]{1,64})_([A-Za-z0-9]{1,128})", re.ASCII)


class Prefix(StrEnum):
    """What an opaque token is for; its first letters, so that scanners find leaks."""

    API_KEY = "wbk"
    SESSION = "wbs"


@frozen
class OpaqueToken:
    """
    An opaque token: a public part to look it up by, and a secret.

    The secret has at least 128 random bits, so a fast hash of it is enough to
    keep (ASVS 6.5.2): nobody can try them out.
    """

    prefix: Prefix
    id: str
    secret: str = field(repr=False)

    @property
    def text(self) -> str:
        """The token as its owner gets it."""
        return f"{self.prefix}_{self.id}_{self.secret}"

    @property
    def hashed(self) -> str:
        """What is kept of the secret: 64 hexadecimal digits of SHA-256."""
        return hashlib.sha256(self.secret.encode()).hexdigest()

    def matches(self, kept: str) -> bool:
        """Whether this is what was kept; it takes as long if it is not."""
        return hmac.compare_digest(self.hashed, kept)

    @classmethod
    def parse(cls, text: str) -> "OpaqueToken":
        """
        Return a token that somebody sent.

        Raises:
            Unauthenticated: It has not the form of one.
        """
        if not (found := _FORM.fullmatch(text)):
            raise Unauthenticated("This is not a token.")
        return cls(Prefix(found[1]), found[2], found[3])


def is_opaque(text: str, prefix: Prefix) -> bool:
    """Whether a text sets out to be an opaque token of this kind."""
    return text.startswith(f"{prefix}_")


def csrf_token(secret: str) -> str:
    """
    Return the token that a page of a browser session sends with its forms.

    It is made from the session's secret, which no other site can read, and
    does not betray it.
    """
    return hmac.new(secret.encode(), b"workbell csrf", hashlib.sha256).hexdigest()


def csrf_matches(secret: str, sent: str) -> bool:
    """Whether a form's token belongs to the session; compared in constant time."""
    return hmac.compare_digest(csrf_token(secret).encode(), sent.encode("utf-8", "replace"))
