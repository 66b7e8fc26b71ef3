"""People, one-time codes and sessions in memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import define, evolve

from workbell.adapters.memory.listing import count_rows, ordered
from workbell.adapters.memory.tables import Tables
from workbell.domain.errors import Conflict, NotFound
from workbell.domain.identity.api_key import ApiKey
from workbell.domain.identity.one_time_code import OneTimeCode, Purpose
from workbell.domain.identity.session import Session
from workbell.domain.identity.user import Taken, User, UserId, login_key
from workbell.ports.identity.users import UserFilter

_KEYS: Mapping[str, Callable[[User], Any]] = {
    "id": lambda user: user.id,
    "username": lambda user: login_key(user.username),
    "email": lambda user: login_key(user.email),
    "created_at": lambda user: user.created_at,
}


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

    def find(
        self,
        which: UserFilter,
        *,
        ordering: Sequence[str] = ("id",),
        offset: int = 0,
        limit: int = 20,
    ) -> Sequence[User]:
        """Return a part of a list of people."""
        rows = ordered(list(self._matching(which)), ordering, _KEYS)
        return rows[offset : offset + limit]

    def count(self, which: UserFilter) -> int:
        """Return how many users the list has, counting no further than one above `COUNT_CAP`."""
        return count_rows(self._matching(which))

    def usernames(self) -> Sequence[str]:
        """Return the username of every active person, by id."""
        return [user.username for user in self._tables.users if user.is_active]

    def _matching(self, which: UserFilter) -> Iterator[User]:
        asked = {
            name: wanted
            for name in ("id", "role", "tier", "is_active", "is_super_user", "is_email_verified")
            if (wanted := getattr(which, name)) is not None
        }
        email = None if which.email is None else login_key(which.email)
        search = None if which.search is None else which.search.casefold()
        for user in self._tables.users:
            texts = (user.username, user.email, user.first_name, user.last_name)
            if (
                all(getattr(user, name) == wanted for name, wanted in asked.items())
                and email in {None, login_key(user.email)}
                and (search is None or any(search in text.lower() for text in texts))
            ):
                yield user

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

    def count_wrong_since(self, user_id: UserId, since: datetime) -> int:
        """Return how many tries failed, of all codes made after a moment."""
        return sum(
            code.attempts - (code.used_at is not None and code.attempts > 0)
            for code in self._tables.codes
            if code.user_id == user_id and code.created_at > since
        )

    def purge(self, before: datetime, *, limit: int) -> int:
        """Remove codes made before a moment, at most so many; return how many."""
        old = [code.id for code in self._tables.codes if code.created_at < before][:limit]
        for code_id in old:
            self._tables.codes.drop(code_id)
        return len(old)

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

    def note_use(self, session: Session) -> None:
        """Keep `last_used_at` and `expires_at` of a session that is not revoked."""
        kept = self.find(session.id)
        if kept is not None and kept.revoked_at is None:
            noted = evolve(kept, last_used_at=session.last_used_at, expires_at=session.expires_at)
            self._tables.sessions.put(kept.id, noted)

    def of_user(self, user_id: UserId, now: datetime) -> Sequence[Session]:
        """Return a person's sessions that are alive, the newest first."""
        alive = [one for one in self._tables.sessions if one.user_id == user_id and one.alive(now)]
        return sorted(alive, key=lambda one: (one.created_at, one.id), reverse=True)

    def opened_from(self, user_id: UserId, address: str) -> bool:
        """Whether a person has signed in from an address, as long as sessions are kept."""
        return any(
            one.user_id == user_id and one.address == address for one in self._tables.sessions
        )

    def revoke_all(self, user_id: UserId, now: datetime, *, but: str = "") -> int:
        """End every session of a person that is alive, but perhaps one."""
        ending = [one for one in self.of_user(user_id, now) if one.id != but]
        for one in ending:
            self._tables.sessions.put(one.id, one.revoked(now))
        return len(ending)

    def purge(self, before: datetime, *, limit: int) -> int:
        """Remove sessions that expired before a moment, at most so many; return how many."""
        over = [one.id for one in self._tables.sessions if one.expires_at < before][:limit]
        for session_id in over:
            self._tables.sessions.drop(session_id)
        return len(over)


@define(eq=False)
class MemoryApiKeys:
    """API keys, by their prefix."""

    _tables: Tables

    def add(self, key: ApiKey) -> ApiKey:
        """Keep a new key, and return it with its id."""
        if self.by_prefix(key.prefix) is not None:
            raise Conflict("There is another key with this prefix.")
        kept = evolve(key, id=self._tables.api_keys.next_id())
        self._tables.api_keys.put(kept.id, kept)
        return kept

    def by_prefix(self, prefix: str) -> ApiKey | None:
        """Return a key whatever its state; None if unknown."""
        return next((key for key in self._tables.api_keys if key.prefix == prefix), None)

    def get(self, user_id: UserId, key_id: int) -> ApiKey:
        """Return one of a person's keys."""
        key = self._tables.api_keys.get(key_id)
        if key is None or key.user_id != user_id:
            raise NotFound("There is no such key.")
        return key

    def of_user(self, user_id: UserId) -> Sequence[ApiKey]:
        """Return a person's keys that are not revoked, the newest first."""
        keys = [
            key
            for key in self._tables.api_keys
            if key.user_id == user_id and key.revoked_at is None
        ]
        return keys[::-1]

    def revoke(self, user_id: UserId, key_id: int, now: datetime) -> bool:
        """End one of a person's keys."""
        key = self._tables.api_keys.get(key_id)
        if key is None or key.user_id != user_id or key.revoked_at is not None:
            return False
        self._tables.api_keys.put(key_id, key.revoked(now))
        return True

    def note_use(self, key: ApiKey) -> None:
        """Keep `last_used_at` of a key that is not revoked."""
        kept = self._tables.api_keys.get(key.id)
        if kept is not None and kept.revoked_at is None:
            self._tables.api_keys.put(key.id, evolve(kept, last_used_at=key.last_used_at))
