"""Unsubscribing by one click (RFC 8058): links that nobody else can make."""

import hashlib
import hmac
import re
from collections.abc import Sequence
from enum import StrEnum

from attrs import field, frozen

from workbell.domain.errors import Invalid, NotFound
from workbell.domain.identity.user import UserId


class Category(StrEnum):
    """A kind of mail that a person may do without."""

    REMINDERS = "reminders"


_FORM = re.compile(rf"({'|'.join(Category)})-([1-9][0-9]{{0,17}})-([0-9a-f]{{32}})", re.ASCII)


@frozen
class Unsubscription:
    """Whose mails are to end, and of which kind."""

    owner: UserId
    category: Category


@frozen
class UnsubscribeTokens:
    """
    Tokens that stand in a mail and need no sign-in: 128 bits of HMAC-SHA-256.

    They never expire, for old mails have links, too. The first key makes
    them; those that a former key has made still work.
    """

    _keys: Sequence[bytes] = field(repr=False)

    def make(self, what: Unsubscription) -> str:
        """
        Return the token, which stays the same as long as the key does.

        Raises:
            Invalid: There is no key.
        """
        if not self._keys:
            raise Invalid("Reminders need WORKBELL_SECRET_KEY, which signs their links.")
        return f"{what.category}-{what.owner}-{_mac(self._keys[0], what)}"

    def read(self, token: str) -> Unsubscription:
        """
        Return what a token stands for.

        Raises:
            NotFound: It is none that we have made.
        """
        found = _FORM.fullmatch(token)
        if found is not None:
            what = Unsubscription(UserId(int(found[2])), Category(found[1]))
            if any(hmac.compare_digest(_mac(key, what), found[3]) for key in self._keys):
                return what
        raise NotFound("This link is not one of ours, or was cut off.")


def _mac(key: bytes, what: Unsubscription) -> str:
    said = f"workbell unsubscribe\0{what.category}\0{what.owner}"
    return hmac.new(key, said.encode(), hashlib.sha256).hexdigest()[:32]
