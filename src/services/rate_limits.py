"""Throttling: what is asked too often is refused, and spends nothing."""

from collections.abc import Callable, Sequence

from attrs import frozen

from workbell.domain.identity.actor import Actor
from workbell.domain.identity.user import SYSTEM_ID, User
from workbell.domain.rate_limits.policy import (
    LOGIN_FAILURES,
    Decision,
    Policies,
    Policy,
    RateLimited,
    RateLimitKey,
    RateLimitRequest,
    Route,
    account_key,
)
from workbell.ports.identity.crypto import PasswordHasher
from workbell.ports.identity.users import IdentityTx
from workbell.ports.rate_limits import RateLimiter, RateLimitTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.transaction_retry import retry_on_contention

BATCH = 500


@frozen(kw_only=True)
class RateLimiting:
    """Admit requests, logins and codes as often as the policies say."""

    store: Store[RateLimitTx]
    limiter: RateLimiter
    clock: Clock
    policies: Policies

    @retry_on_contention
    def admit(self, asked: RateLimitRequest) -> Sequence[Decision]:
        """
        Charge a request to every policy that it meets, or to none.

        The decisions come with the narrowest first. What is refused already
        takes no lock.

        Raises:
            TooMany: A policy refuses; its `decisions` are for the headers.
            Unavailable: The store, which counts some of it, does not answer.
        """
        if not (charges := self.policies.policies_for(asked)):
            return ()
        now = self.clock.now()
        exact = [each for each in charges if each.policy.exact]
        quick = [each for each in charges if not each.policy.exact]
        if not exact:
            return _allowed(self.limiter.hit(quick, now))
        with self.store.view() as tx:
            _allowed([tx.quotas.peek(each, now) for each in exact])
        with self.store.begin() as tx:
            spent = _allowed([tx.quotas.consume(each, now) for each in exact])
            return _allowed([*spent, *self.limiter.hit(quick, now)])

    def remaining(self, actor: Actor) -> Sequence[Decision]:
        """
        Return what is left of the actor's quota and rate; nothing is spent.

        Raises:
            Unavailable: The store does not answer.
        """
        now = self.clock.now()
        asked = RateLimitRequest(
            address="", route=Route.PROGRESS, user_id=actor.user_id, tier=actor.tier
        )  # fmt: skip
        charges = self.policies.policies_for(asked)
        with self.store.view() as tx:
            exact = [tx.quotas.peek(each, now) for each in charges if each.policy.exact]
        quick = [each for each in charges if not each.policy.exact]
        return [*exact, *self.limiter.hit(quick, now, cost=0)]

    def count_login_failure(self, account: str, policy: Policy = LOGIN_FAILURES) -> None:
        """
        Count one failed login of an account, before its password is compared.

        So parallel guesses are no better than one after another. Take it back
        with `forgive_login` when the password was right. The account is
        `domain.throttling.account_key`.

        Raises:
            TooMany: The account has failed too often within the hour.
            Unavailable: The store does not answer.
        """
        self._try(policy, account)

    @retry_on_contention
    def undo_login_failure(self, account: str, policy: Policy = LOGIN_FAILURES) -> None:
        """
        Take back one `try_login`, which turned out to be right.

        Raises:
            Unavailable: The store does not answer.
        """
        with self.store.begin() as tx:
            tx.quotas.refund(RateLimitKey(policy, account))

    def verify_counting_failures(
        self, account: str, verify: Callable[[], bool], policy: Policy = LOGIN_FAILURES
    ) -> bool:
        """
        Return whether a password or code is right, counting it while nobody knows.

        What could not be compared is taken back like what was right.

        Raises:
            TooMany: The account has failed too often, by the policy.
            Unavailable: The store does not answer, or too many are hashing.
        """
        self.count_login_failure(account, policy)
        right: bool | None = None
        try:
            right = verify()
        finally:
            if right is not False:
                self.undo_login_failure(account, policy)
        return right is True

    @retry_on_contention
    def prune(self) -> int:
        """
        Delete the counts under which nothing counts any more; return how many.

        Raises:
            Unavailable: The store does not answer.
        """
        gone = 0
        while True:
            with self.store.begin() as tx:
                pruned = tx.quotas.prune(self.clock.now(), limit=BATCH)
            gone += pruned
            if pruned < BATCH:
                return gone

    @retry_on_contention
    def _try(self, policy: Policy, account: str) -> None:
        now, charge = self.clock.now(), RateLimitKey(policy, account)
        with self.store.view() as tx:
            _allowed([tx.quotas.peek(charge, now)])
        with self.store.begin() as tx:
            _allowed([tx.quotas.consume(charge, now)])


def _allowed(decisions: Sequence[Decision]) -> Sequence[Decision]:
    """Return the decisions, unless one of them refuses."""
    if all(each.allowed for each in decisions):
        return decisions
    raise RateLimited(decisions)


def known_address(tx: IdentityTx, user: User | None, address: str) -> str:
    """Return an address from which somebody has signed in before, of another none; as fast."""
    is_known = tx.sessions.opened_from(user.id if user else SYSTEM_ID, address)
    return address if is_known else ""


def verify_counting_failures(
    rate_limits: RateLimiting | None,
    hasher: PasswordHasher,
    user: User | None,
    identifier: str,
    password: str,
    trusted_address: str,
) -> bool:
    """
    Return whether a password is somebody's; wrong ones are counted by account.

    `trusted_address` is what `known_address` returns. Takes as long where there is
    nobody. Without throttling nothing is counted.

    Raises:
        TooMany: The account has failed too often within the hour.
        Unavailable: The store does not answer, or too many are hashing.
    """
    kept = "" if user is None else user.password_hash
    if rate_limits is None:
        return hasher.verify(kept, password)
    account = account_key(user, identifier, trusted_address)
    return rate_limits.verify_counting_failures(account, lambda: hasher.verify(kept, password))
