"""Conditions on rows of accounts: in a scope, and not deleted."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    bindparam,
    literal_column,
    or_,
    select,
)

from workbell.adapters.sql.schema.delivery import accounts, memberships
from workbell.domain.identity.actor import Scope

MEMBER = "member"
"""The parameter of the conditions; its value is that of `member_of`."""
_EVERYONE = -1
_ONE: Select[Any] = select(literal_column("1"))


def member_of(scope: Scope) -> int:
    """Return the value of the parameter `MEMBER`."""
    return _EVERYONE if scope.owner is None else scope.owner


def is_member(account_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that the owner of the scope is a member of an account."""
    member = bindparam(MEMBER, type_=BigInteger)
    found = _ONE.where(memberships.c.account_id == account_id, memberships.c.user_id == member)
    return or_(member == literal_column(str(_EVERYONE)), found.exists())


def is_visible(account_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that an account is in the scope and not deleted."""
    conditions = (accounts.c.id == account_id, accounts.c.deleted_at.is_(None))
    return _ONE.where(*conditions, is_member(accounts.c.id)).exists()
