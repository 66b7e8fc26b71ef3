"""Tokens, secrets and header values: generated, encrypted and decrypted."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from attrs import field, frozen

from workbell.domain.delivery.account import TOKEN_PURPOSE, Account
from workbell.domain.delivery.destination import (
    HEADER_MASK,
    HEADER_PURPOSE,
    SECRET_PURPOSE,
    Destination,
)
from workbell.domain.delivery.signature import SECRET_BYTES, format_secret
from workbell.domain.errors import Invalid, Unavailable
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import Action, Relation, may
from workbell.ports.secret_box import SecretBox
from workbell.ports.system import Randomness


@frozen(kw_only=True)
class EncryptedToken:
    """A new account token, encrypted, and the index by which it is found."""

    token: str = field(repr=False)
    token_index: str = field(repr=False)


@frozen(kw_only=True)
class DeliverySecrets:
    """Generates secrets, and shows them to the Admins of their account."""

    randomness: Randomness
    box: SecretBox

    def make_token(self) -> EncryptedToken:
        """Return a new account token: a random UUID."""
        text = str(UUID(int=self.randomness.randbelow(1 << 128), version=4))
        return EncryptedToken(
            token=self.box.encrypt(text, TOKEN_PURPOSE),
            token_index=self.box.index(text, TOKEN_PURPOSE),
        )

    def make_secret(self) -> str:
        """Return a new signing secret, encrypted."""
        key = self.randomness.randbelow(1 << 8 * SECRET_BYTES).to_bytes(SECRET_BYTES)
        return self.box.encrypt(format_secret(key), SECRET_PURPOSE)

    def token_for(
        self, actor: Actor, account: Account, relations: Collection[Relation]
    ) -> str | None:
        """Return the account's token if the actor may see it and its key is known."""
        if not may(actor, Action.READ_ACCOUNT_SECRET, also=relations):
            return None
        return self._find(account.token, TOKEN_PURPOSE)

    def secret_for(
        self, actor: Actor, destination: Destination, relations: Collection[Relation]
    ) -> str | None:
        """Return the destination's secret if the actor may see it and its key is known."""
        if not may(actor, Action.READ_ACCOUNT_SECRET, also=relations):
            return None
        return self._find(destination.secret, SECRET_PURPOSE)

    def _find(self, encrypted: str, purpose: str) -> str | None:
        """Return a decrypted text, or None: after a lost key it can only be replaced."""
        try:
            return self.box.decrypt(encrypted, purpose)
        except Unavailable:
            return None

    def encrypt_headers(
        self, given: Mapping[str, str], stored: Mapping[str, str]
    ) -> Mapping[str, str]:
        """Return headers with encrypted values; a masked value is the stored one."""
        by_name = {name.lower(): encrypted for name, encrypted in stored.items()}
        return {
            name: by_name[name.lower()]
            if value == HEADER_MASK
            else self.box.encrypt(value, HEADER_PURPOSE)
            for name, value in given.items()
        }


def masked_names(headers: Mapping[str, str]) -> Sequence[str]:
    """Return the names of headers whose stored values are to stay."""
    return [name for name, value in headers.items() if value == HEADER_MASK]


def check_masks(given: Mapping[str, str], stored: Mapping[str, str]) -> None:
    """Raise Invalid if a header has the mask as its value and none is stored."""
    known = {name.lower() for name in stored}
    if unknown := [name for name in masked_names(given) if name.lower() not in known]:
        message = f"has no stored value; {HEADER_MASK} is not accepted for a new header"
        raise Invalid(field_errors={f"headers.{name}": [message] for name in unknown})
