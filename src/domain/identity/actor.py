"""The actor of a command: the user, their scope and their client."""

from typing import Self

from attrs import frozen

from workbell.domain.identity.user import SYSTEM_ID, KeyScope, Role, Tier, User, UserId


@frozen(kw_only=True)
class ClientInfo:
    """Where a command came from, as far as the audit trail remembers it."""

    request_id: str = ""
    address: str = ""
    user_agent: str = ""


@frozen(kw_only=True)
class Scope:
    """Whose things may be seen: one owner's, or everybody's."""

    owner: UserId | None

    def covers(self, owner: UserId) -> bool:
        """Whether something of this owner lies within the scope."""
        return self.owner is None or self.owner == owner


ALL_OWNERS = Scope(owner=None)


@frozen(kw_only=True)
class Actor:
    """
    Who asks, and with which rights.

    Who asks with an API key has its `key_scopes`, and the rights of a
    superuser or of a platform role only if ADMIN is among them; for everybody
    else they are None. `session_id` is the login, if there was one. Who
    `must_enrol` has to add a second factor before anything else.
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
        """What the actor may see: everything, or their own."""
        return ALL_OWNERS if self.is_super_user else Scope(owner=self.user_id)

    @property
    def is_system(self) -> bool:
        """Whether the service or its owner's own code asks."""
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
        """Return a person as the one who asks."""
        in_full = key_scopes is None or KeyScope.ADMIN in key_scopes
        return cls(
            user_id=user.id,
            username=user.username,
            is_super_user=user.is_super_user and in_full,
            role=user.role if in_full else Role.MEMBER,
            key_scopes=key_scopes,
            is_email_verified=user.is_email_verified,
            tier=user.tier,
            time_zone=user.time_zone,
            session_id=session_id,
            must_enrol=must_enrol,
            client_info=client_info or ClientInfo(),
        )


ANONYMOUS = Actor(user_id=SYSTEM_ID, username="nobody")


SYSTEM = Actor(user_id=SYSTEM_ID, username="system", is_super_user=True, is_email_verified=True)
