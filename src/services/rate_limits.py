"""Rate limits of requests, logins and one-time codes."""

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
    """
    Checks requests, logins and codes against the rate limit policies.

    Raises `Unavailable` if the store that counts exact quotas is down.
    """

    store: Store[RateLimitTx]
    limiter: RateLimiter
    clock: Clock
    policies: Policies

    @retry_on_contention
    def admit(self, request: RateLimitRequest) -> Sequence[Decision]:
        """
        Charge a request to every policy that applies to it, or to none.

        Returns the decisions, the strictest policy first. Quotas are read before
        they are charged, so a refused request takes no lock.

        Raises:
            RateLimited: A policy refuses; its `decisions` are for the headers.
        """
        if not (keys := self.policies.policies_for(request)):
            return ()
        now = self.clock.now()
        exact = [each for each in keys if each.policy.exact]
        quick = [each for each in keys if not each.policy.exact]
        if not exact:
            return _check_allowed(self.limiter.hit(quick, now))
        with self.store.view() as tx:
            _check_allowed([tx.quotas.peek(each, now) for each in exact])
        with self.store.begin() as tx:
            consumed = _check_allowed([tx.quotas.consume(each, now) for each in exact])
            return _check_allowed([*consumed, *self.limiter.hit(quick, now)])

    def remaining(self, actor: Actor) -> Sequence[Decision]:
        """Return the actor's remaining quota and rate; consumes nothing."""
        now = self.clock.now()
        request = RateLimitRequest(
            address="", route=Route.PROGRESS, user_id=actor.user_id, tier=actor.tier
        )  # fmt: skip
        keys = self.policies.policies_for(request)
        with self.store.view() as tx:
            exact = [tx.quotas.peek(each, now) for each in keys if each.policy.exact]
        quick = [each for each in keys if not each.policy.exact]
        return [*exact, *self.limiter.hit(quick, now, cost=0)]

    def count_login_failure(self, account: str, policy: Policy = LOGIN_FAILURES) -> None:
        """
        Count one failed login of an account, before its password is compared.

        Counting first makes parallel guesses no better than sequential ones. Undo
        it with `undo_login_failure` if the password was right.

        Raises:
            RateLimited: The account has failed too often within the hour.
        """
        self._consume(policy, account)

    @retry_on_contention
    def undo_login_failure(self, account: str, policy: Policy = LOGIN_FAILURES) -> None:
        """Undo one `count_login_failure` after a successful login."""
        with self.store.begin() as tx:
            refund_login_failure(tx, account, policy)

    def verify_counting_failures(
        self, account: str, verify: Callable[[], bool], policy: Policy = LOGIN_FAILURES
    ) -> bool:
        """
        Return whether a password or code is right; count it if it is wrong.

        The failure is counted before `verify` runs, and undone if `verify` returns
        True or raises. Raises `RateLimited` after too many failures.
        """
        right = self.verify_counted(account, verify, policy)
        if right:
            self.undo_login_failure(account, policy)
        return right

    def verify_counted(
        self, account: str, verify: Callable[[], bool], policy: Policy = LOGIN_FAILURES
    ) -> bool:
        """
        As `verify_counting_failures`, but True leaves the failure to the caller.

        The caller undoes it in its own transaction by `refund_login_failure`, or
        by `undo_login_failure`.
        """
        self.count_login_failure(account, policy)
        try:
            return verify()
        except BaseException:
            self.undo_login_failure(account, policy)
            raise

    @retry_on_contention
    def prune(self) -> int:
        """Delete counters that no longer affect a decision; return how many."""
        total = 0
        while True:
            with self.store.begin() as tx:
                pruned = tx.quotas.prune(self.clock.now(), limit=BATCH)
            total += pruned
            if pruned < BATCH:
                return total

    @retry_on_contention
    def _consume(self, policy: Policy, account: str) -> None:
        now, key = self.clock.now(), RateLimitKey(policy, account)
        with self.store.view() as tx:
            _check_allowed([tx.quotas.peek(key, now)])
        with self.store.begin() as tx:
            _check_allowed([tx.quotas.consume(key, now)])


def _check_allowed(decisions: Sequence[Decision]) -> Sequence[Decision]:
    """Return the decisions; raise RateLimited if one refuses."""
    if all(each.allowed for each in decisions):
        return decisions
    raise RateLimited(decisions)


def refund_login_failure(tx: RateLimitTx, account: str, policy: Policy = LOGIN_FAILURES) -> None:
    """Undo one `count_login_failure` within the caller's transaction."""
    tx.quotas.refund(RateLimitKey(policy, account))


def known_address(tx: IdentityTx, user: User | None, address: str) -> str:
    """
    Return the address if this user has logged in from it, else "".

    Runs one query either way, so timing does not reveal whether the user exists.
    """
    is_known = tx.sessions.has_login_from(user.id if user else SYSTEM_ID, address)
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
    Return whether a user's password is right; count failures per account.

    `trusted_address` is the result of `known_address`. An unknown user costs
    as much time as a known one. Nothing is counted if `rate_limits` is None.
    """
    password_hash = "" if user is None else user.password_hash
    if rate_limits is None:
        return hasher.verify(password_hash, password)
    account = account_key(user, identifier, trusted_address)
    return rate_limits.verify_counting_failures(
        account, lambda: hasher.verify(password_hash, password)
    )
