"""People, one-time codes and sessions in memory."""

from datetime import datetime

from attrs import define, evolve

from ...domain.errors import Conflict, NotFound
from ...domain.identity import Taken, User, UserId, login_key
from ...domain.otp import OneTimeCode, Purpose
from ...domain.sessions import Session
from .tables import Tables


@define(eq=False)
class MemoryUsers:
    """Every person, active or not."""

    _tables: Tables

    def add(self, user: User) -> User:
        """Keep a new person, and return them with their id."""
        self._check_free(user, UserId(0))
        kept = evolve(user, id=UserId(self._tables.users.next_id()))
        self._put(kept)
        return kept

    def get(self, user_id: UserId) -> User:
        """Return a person, without a lock."""
        if (user := self._tables.users.get(user_id)) is None:
            raise NotFound(f"There is no user {user_id}.")
        return user

    def get_for_update(self, user_id: UserId) -> User:
        """Return a person; the transaction is alone in any case."""
        return self.get(user_id)

    def by_login(self, identifier: str) -> User | None:
        """Return who has this username or, if it holds an `@`, this address."""
        found = self._tables.logins.get(login_key(identifier))
        return None if found is None else self._tables.users.get(found)

    def by_email(self, email: str) -> User | None:
        """Return who has this address."""
        found = self.by_login(email)
        return found if found and login_key(found.email) == login_key(email) else None

    def replace(self, user: User) -> None:
        """Keep a person as they now stand: every field but id and `created_at`."""
        kept = self.get(user.id)
        self._check_free(user, user.id)
        for name in (kept.username, kept.email):
            self._tables.logins.drop(login_key(name))
        self._put(evolve(user, created_at=kept.created_at))

    def has_super_user(self) -> bool:
        """Whether there is an active person with `is_super_user`."""
        return any(user.is_super_user and user.is_active for user in self._tables.users)

    def _put(self, user: User) -> None:
        self._tables.users.put(user.id, user)
        for name in (user.username, user.email):
            self._tables.logins.put(login_key(name), user.id)

    def _check_free(self, user: User, itself: UserId) -> None:
        names = {"username": user.username, "email": user.email}
        taken = [
            field
            for field, name in names.items()
            if self._tables.logins.get(login_key(name)) not in {None, itself}
        ]
        if taken:
            raise Taken.of(*taken)


@define(eq=False)
class MemoryCodes:
    """One-time codes; the rows stay, for counting, until they are purged."""

    _tables: Tables

    def add(self, code: OneTimeCode) -> OneTimeCode:
        """Keep a new code, which supersedes the earlier ones."""
        for earlier in self._of(code.user_id, code.purpose):
            self._tables.codes.put(earlier.id, earlier.superseded(code.created_at))
        kept = evolve(code, id=self._tables.codes.next_id())
        self._tables.codes.put(kept.id, kept)
        return kept

    def latest(self, user_id: UserId, purpose: Purpose) -> OneTimeCode | None:
        """Return the code with the highest id, whatever its state."""
        return max(self._of(user_id, purpose), key=lambda code: code.id, default=None)

    def count_since(self, user_id: UserId, purpose: Purpose, since: datetime) -> int:
        """Return how many codes were made after a moment."""
        return sum(code.created_at > since for code in self._of(user_id, purpose))

    def try_attempt(self, code_id: int, now: datetime) -> bool:
        """Count one try, before it is known whether it will succeed."""
        code = self._tables.codes.get(code_id)
        if code is None or not code.may_be_tried(now):
            return False
        self._tables.codes.put(code_id, code.tried())
        return True

    def try_use(self, code_id: int, now: datetime) -> bool:
        """Use a code up."""
        code = self._tables.codes.get(code_id)
        if code is None or not code.usable(now):
            return False
        self._tables.codes.put(code_id, code.used(now))
        return True

    def _of(self, user_id: UserId, purpose: Purpose) -> list[OneTimeCode]:
        return [
            code
            for code in self._tables.codes
            if code.user_id == user_id and code.purpose is purpose
        ]


@define(eq=False)
class MemorySessions:
    """Logins, by their opaque id."""

    _tables: Tables

    def add(self, session: Session) -> None:
        """Keep a new session."""
        if self.find(session.id) is not None:
            raise Conflict("There is another session with this id.")
        self._tables.sessions.put(session.id, session)

    def find(self, session_id: str) -> Session | None:
        """Return a session whatever its state; None if unknown."""
        return self._tables.sessions.get(session_id)

    def get_for_update(self, session_id: str) -> Session:
        """Return a session; the transaction is alone in any case."""
        if (session := self.find(session_id)) is None:
            raise NotFound("There is no such session.")
        return session

    def replace(self, session: Session) -> None:
        """Keep a session as it now stands; its id, user and start stay."""
        kept = self.get_for_update(session.id)
        self._tables.sessions.put(
            session.id, evolve(session, user_id=kept.user_id, created_at=kept.created_at)
        )
