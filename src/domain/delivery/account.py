"""Accounts, which own destinations and events, and their members."""

from datetime import datetime, timedelta
from enum import IntEnum
from typing import Annotated, Final, Literal, NewType, Self

from attrs import evolve, field, frozen

from workbell.domain.constraints import Constraints
from workbell.domain.errors import Conflict
from workbell.domain.identity.permissions import Relation
from workbell.domain.identity.user import UserId

AccountId = NewType("AccountId", int)
AccountName = Annotated[str, Constraints(min_length=1, max_length=255, example="My Account")]

TOKEN_OVERLAP: Final = timedelta(hours=24)
"""How long the previous token of an account stays valid after a rotation."""
TOKEN_PURPOSE: Final = "account token"  # noqa: S105 - not a token
"""The purpose under which account tokens are encrypted and indexed."""


class AccountRole(IntEnum):
    """The role of a member; the numbers are stored and part of the API."""

    ADMIN = 1
    NORMAL = 2

    @property
    def label(self) -> str:
        """The name in the API."""
        return "Admin" if self is AccountRole.ADMIN else "Normal user"

    @property
    def relation(self) -> Relation:
        """The relation of a member with this role to the account."""
        return Relation.ACCOUNT_ADMIN if self is AccountRole.ADMIN else Relation.ACCOUNT_NORMAL


RoleChoice = Literal[1, 2, "Admin", "Normal user"]
"""A role as clients send it: by number or by name."""


def parse_role(choice: RoleChoice) -> AccountRole:
    """Return the role with a number or a name."""
    return next(role for role in AccountRole if choice in {role.value, role.label})


@frozen(kw_only=True)
class Account:
    """
    A tenant that receives events and forwards them to its destinations.

    `token` is the encrypted app secret token, `token_index` its keyed hash, by
    which it is found. After a rotation the previous token stays valid until
    `previous_token_until`.
    """

    id: AccountId = AccountId(0)
    name: str
    token: str = field(repr=False)
    token_index: str = field(repr=False)
    previous_token_index: str | None = field(default=None, repr=False)
    previous_token_until: datetime | None = None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None

    def rename(self, name: str, now: datetime) -> Self:
        """Return the account with another name."""
        return evolve(self, name=name, updated_at=now)

    def rotate_token(self, token: str, token_index: str, now: datetime) -> Self:
        """Return the account with a new token; the current one stays valid for a day."""
        return evolve(
            self,
            token=token,
            token_index=token_index,
            previous_token_index=self.token_index,
            previous_token_until=now + TOKEN_OVERLAP,
            updated_at=now,
        )

    def accepts(self, token_index: str, now: datetime) -> bool:
        """Whether a token with this index is valid now."""
        if token_index == self.token_index:
            return True
        until = self.previous_token_until
        return token_index == self.previous_token_index and until is not None and now < until

    def delete(self, now: datetime) -> Self:
        """Return the account as deleted."""
        return evolve(self, deleted_at=now, updated_at=now)


@frozen(kw_only=True)
class Membership:
    """A user's role in an account; unique per account and user."""

    id: int = 0
    account_id: AccountId
    user_id: UserId
    role: AccountRole
    created_at: datetime
    updated_at: datetime

    def change_role(self, role: AccountRole, now: datetime) -> Self:
        """Return the membership with another role."""
        return evolve(self, role=role, updated_at=now)


def check_admin_remains(membership: Membership, admins: int) -> None:
    """
    Check that an account keeps an Admin when this member leaves or is demoted.

    Raises:
        Conflict: The member is the only Admin.
    """
    if membership.role is AccountRole.ADMIN and admins <= 1:
        raise Conflict("An account needs at least one Admin; name another one first.")
