"""One-click unsubscribe links (RFC 8058), authenticated by an HMAC."""

import hashlib
import hmac
import re
from collections.abc import Sequence
from enum import StrEnum

from attrs import field, frozen

from workbell.domain.errors import Invalid, NotFound
from workbell.domain.identity.user import UserId


class EmailCategory(StrEnum):
    """A category of email that a user can unsubscribe from."""

    REMINDERS = "reminders"


_TOKEN = re.compile(rf"({'|'.join(EmailCategory)})-([1-9][0-9]{{0,17}})-([0-9a-f]{{32}})", re.ASCII)


@frozen
class Unsubscription:
    """The user who unsubscribes, and from which category."""

    owner: UserId
    category: EmailCategory


@frozen
class UnsubscribeTokens:
    """
    Unsubscribe tokens: 128 bits of HMAC-SHA-256, valid without a login.

    They never expire, because links in old emails must work too. The first key
    signs new tokens; tokens of former keys stay valid.
    """

    _keys: Sequence[bytes] = field(repr=False)

    def make(self, unsubscription: Unsubscription) -> str:
        """Return the token of a link; Invalid if no key is configured."""
        if not self._keys:
            raise Invalid("Set WORKBELL_SECRET_KEY: it signs the unsubscribe links of reminders.")
        return f"{unsubscription.category}-{unsubscription.owner}-{_mac(self._keys[0], unsubscription)}"

    def parse(self, token: str) -> Unsubscription:
        """Verify a token and return its contents, or raise NotFound."""
        if match := _TOKEN.fullmatch(token):
            unsubscription = Unsubscription(UserId(int(match[2])), EmailCategory(match[1]))
            macs = (_mac(key, unsubscription) for key in self._keys)
            if any(hmac.compare_digest(mac, match[3]) for mac in macs):
                return unsubscription
        raise NotFound("This unsubscribe link is invalid or incomplete.")


def _mac(key: bytes, unsubscription: Unsubscription) -> str:
    message = f"workbell unsubscribe\0{unsubscription.category}\0{unsubscription.owner}"
    return hmac.new(key, message.encode(), hashlib.sha256).hexdigest()[:32]
