"""Users as others see them."""

from attrs import frozen

from workbell.adapters.http.web.mapping import copy_fields
from workbell.domain.identity.user import User


@frozen(kw_only=True, slots=False)
class PersonBody:
    """A user as members of the same project see them, and readers of the audit log."""

    id: int
    username: str
    email: str
    full_name: str


def person_body(user: User) -> PersonBody:
    """Return the body of a user."""
    return copy_fields(PersonBody, user)
