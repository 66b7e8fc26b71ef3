"""Opaque tokens: shown once, stored as a hash, compared in constant time."""

import hashlib
import hmac
import re
from enum import StrEnum

from attrs import field, frozen

from workbell.domain.errors import Unauthenticated

_TOKEN = re.compile(r"(wbk|wbs)_([A-Za-z0-9]{1,64})_([A-Za-z0-9]{1,128})", re.ASCII)


class Prefix(StrEnum):
    """The kind of an opaque token, as a prefix that secret scanners can find."""

    API_KEY = "wbk"
    SESSION = "wbs"


@frozen
class OpaqueToken:
    """
    A token with a public id for the lookup and a secret part.

    The secret has at least 128 random bits, so a fast hash is safe to store:
    brute force is infeasible (ASVS 6.5.2).
    """

    prefix: Prefix
    id: str
    secret: str = field(repr=False)

    @property
    def text(self) -> str:
        """The whole token, as the client sends it."""
        return f"{self.prefix}_{self.id}_{self.secret}"

    @property
    def hashed(self) -> str:
        """The hash of the secret: SHA-256 as 64 hexadecimal digits."""
        return hashlib.sha256(self.secret.encode()).hexdigest()

    def matches(self, stored_hash: str) -> bool:
        """Compare the secret with a stored hash in constant time."""
        return hmac.compare_digest(self.hashed, stored_hash)

    @classmethod
    def parse(cls, text: str) -> "OpaqueToken":
        """Parse a token sent by a client; Unauthenticated if it is malformed."""
        if not (match := _TOKEN.fullmatch(text)):
            raise Unauthenticated("The token is malformed.")
        return cls(Prefix(match[1]), match[2], match[3])


def is_opaque(text: str, prefix: Prefix) -> bool:
    """Whether a text begins with the prefix of this kind of token."""
    return text.startswith(f"{prefix}_")


def csrf_token(secret: str) -> str:
    """
    Return the CSRF token that a page of a browser session sends with forms.

    It is derived from the session's secret, which other sites cannot read, and
    does not reveal it.
    """
    return hmac.new(secret.encode(), b"workbell csrf", hashlib.sha256).hexdigest()


def csrf_matches(secret: str, sent: str) -> bool:
    """Compare a form's CSRF token with the session's in constant time."""
    return hmac.compare_digest(csrf_token(secret).encode(), sent.encode("utf-8", "replace"))
