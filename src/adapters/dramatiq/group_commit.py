"""Group commit: threads that wait for a transaction share the next one."""

from collections.abc import Callable, Sequence
from threading import Condition, Lock

from attrs import define, field

from workbell.domain.jobs.attempt import Claim, Settlement


@define(eq=False)
class CommitGroup:
    """
    Threads that claim in one transaction, and the settlements that it commits.

    `starts_turn` is true if one of the threads claims for the first time in
    its turn. `committed` and `claims` are set by the thread that commits.
    """

    changed: Condition = field(factory=Condition)
    threads: int = 0
    settlements: list[Settlement] = field(factory=list[Settlement])
    starts_turn: bool = False
    committed: bool = False
    has_claims: bool = False
    claims: list[Claim] = field(factory=list[Claim])


@define(eq=False)
class GroupCommit:
    """
    Shares transactions among the threads that work on one queue.

    A thread that arrives while no transaction runs commits at once, alone.
    Threads that arrive during a transaction form the next group, and one of
    them, the leader, commits for all: `commit` writes the group's settlements
    and returns claims, at most one per thread.
    """

    commit: Callable[[CommitGroup], Sequence[Claim]]
    _lock: Lock = field(factory=Lock)
    _next_group: CommitGroup = field(init=False)
    _is_committing: bool = False

    def __attrs_post_init__(self) -> None:
        """Create the first group."""
        self._next_group = CommitGroup(Condition(self._lock))

    def commit_and_claim(
        self, settlement: Settlement | None, *, starts_turn: bool = False
    ) -> Claim | None:
        """
        Commit a settlement and return a claim, or None if there is no work.

        `starts_turn` marks the first claim of a turn. The leader re-raises the
        error of its transaction; the other threads of the group return None.
        """
        while True:
            with self._lock:
                self._next_group.threads += 1
                self._next_group.starts_turn |= starts_turn
                group, is_leader = self._wait_for_turn(settlement)
            if is_leader:
                self._commit_group(group)
            with self._lock:
                if group.claims:
                    return group.claims.pop(0)
            if not group.has_claims:
                return None
            settlement, starts_turn = None, False

    def commit_without_claim(self, settlement: Settlement) -> None:
        """Commit a settlement; errors as in `commit_and_claim`."""
        with self._lock:
            group, is_leader = self._wait_for_turn(settlement)
        if is_leader:
            self._commit_group(group)

    def claim_alone(self, *, starts_turn: bool) -> Claim | None:
        """Return a claim or None, without waiting for a running transaction."""
        claims = self.commit(CommitGroup(threads=1, starts_turn=starts_turn))
        return claims[0] if claims else None

    def _wait_for_turn(self, settlement: Settlement | None) -> tuple[CommitGroup, bool]:
        """Join the next group; return it with True if this thread must commit it."""
        group = self._next_group
        if settlement is not None:
            group.settlements.append(settlement)
        while self._is_committing and not group.committed:
            group.changed.wait()
        if group.committed:
            return group, False
        self._is_committing, self._next_group = True, CommitGroup(Condition(self._lock))
        return group, True

    def _commit_group(self, group: CommitGroup) -> None:
        claims: Sequence[Claim] = ()
        try:
            claims = self.commit(group)
        finally:
            with self._lock:
                group.claims, group.has_claims = list(claims), bool(claims)
                group.committed, self._is_committing = True, False
                group.changed.notify_all()
                self._next_group.changed.notify()
