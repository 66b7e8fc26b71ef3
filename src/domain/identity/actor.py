"""The actor of a command: the user, their scope and their client."""

from typing import Self

from attrs import frozen

from workbell.domain.identity.user import SYSTEM_ID, KeyScope, Role, Tier, User, UserId


@frozen(kw_only=True)
class ClientInfo:
    """The client of a command, as recorded in the audit trail."""

    request_id: str = ""
    address: str = ""
    user_agent: str = ""


@frozen(kw_only=True)
class Scope:
    """The objects a query may return: those of one owner, or of all (None)."""

    owner: UserId | None

    def covers(self, owner: UserId) -> bool:
        """Whether objects of this owner are in the scope."""
        return self.owner is None or self.owner == owner


ALL_OWNERS = Scope(owner=None)


@frozen(kw_only=True)
class Actor:
    """
    The authenticated user of a command, with their rights.

    `key_scopes` are those of the API key; None without one. Superuser rights and
    the platform role apply to an API key only if it has the scope ADMIN.
    `session_id` is the login session, if any. An actor with `must_enrol` has to
    add a second factor before anything else.
    """

    user_id: UserId
    username: str = ""
    is_super_user: bool = False
    role: Role = Role.MEMBER
    is_email_verified: bool = False
    tier: Tier = Tier.FREE
    time_zone: str = "UTC"
    session_id: str = ""
    must_enrol: bool = False
    key_scopes: frozenset[KeyScope] | None = None
    client_info: ClientInfo = ClientInfo()

    @property
    def scope(self) -> Scope:
        """The objects that the actor may see: all, or their own."""
        return ALL_OWNERS if self.is_super_user else Scope(owner=self.user_id)

    @property
    def is_system(self) -> bool:
        """Whether the actor is the service itself or code that embeds it."""
        return self.user_id == SYSTEM_ID

    @classmethod
    def of(
        cls,
        user: User,
        *,
        session_id: str = "",
        client_info: ClientInfo | None = None,
        key_scopes: frozenset[KeyScope] | None = None,
        must_enrol: bool = False,
    ) -> Self:
        """Build the actor of an authenticated user."""
        has_full_rights = key_scopes is None or KeyScope.ADMIN in key_scopes
        return cls(
            user_id=user.id,
            username=user.username,
            is_super_user=user.is_super_user and has_full_rights,
            role=user.role if has_full_rights else Role.MEMBER,
            key_scopes=key_scopes,
            is_email_verified=user.is_email_verified,
            tier=user.tier,
            time_zone=user.time_zone,
            session_id=session_id,
            must_enrol=must_enrol,
            client_info=client_info or ClientInfo(),
        )


ANONYMOUS = Actor(user_id=SYSTEM_ID, username="anonymous")
SYSTEM = Actor(user_id=SYSTEM_ID, username="system", is_super_user=True, is_email_verified=True)
