"""Meetings: threads that come for work at once share one transaction."""

from collections.abc import Callable, Sequence
from threading import Condition, Lock

from attrs import define, field

from workbell.domain.jobs.attempt import Claim, Settlement


@define(eq=False)
class Round:
    """Threads that are served together, and the outcomes that they bring."""

    change: Condition = field(factory=Condition)
    threads: int = 0
    settlements: list[Settlement] = field(factory=list[Settlement])
    begins: bool = False
    served: bool = False
    found: bool = False
    claims: list[Claim] = field(factory=list[Claim])


@define(eq=False)
class Meeting:
    """
    Has the threads of a queue take turns at the store, those who wait together.

    Whoever comes while nobody is served is served at once, alone. Who comes
    meanwhile is served with all others who did, by one of them: `serve`
    commits the outcomes of a round and returns claims, at most one a thread.
    """

    serve: Callable[[Round], Sequence[Claim]]
    _lock: Lock = field(factory=Lock)
    _next: Round = field(init=False)
    _serving: bool = False

    def __attrs_post_init__(self) -> None:
        """Begin the first round."""
        self._next = Round(Condition(self._lock))

    def join(self, settlement: Settlement | None, *, begins: bool = False) -> Claim | None:
        """
        Commit an outcome and return a claim, or None where the round found none.

        `begins` marks the first claim of a turn. Who led a round is told its
        error; the others of it come back without a claim.
        """
        while True:
            with self._lock:
                mine, leads = self._enter(settlement, begins=begins)
            if leads:
                self._lead(mine)
            with self._lock:
                if mine.claims:
                    return mine.claims.pop(0)
            if not mine.found:
                return None
            settlement, begins = None, False

    def pass_by(self, *, begins: bool) -> Claim | None:
        """Return a claim, or None, from a round of one's own beside all others."""
        claims = self.serve(Round(threads=1, begins=begins))
        return claims[0] if claims else None

    def _enter(self, settlement: Settlement | None, *, begins: bool) -> tuple[Round, bool]:
        """Be of the next round; return it once it was served, or is this thread's to serve."""
        mine = self._next
        mine.threads += 1
        mine.begins |= begins
        if settlement is not None:
            mine.settlements.append(settlement)
        while self._serving and not mine.served:
            mine.change.wait()
        if mine.served:
            return mine, False
        self._serving, self._next = True, Round(Condition(self._lock))
        return mine, True

    def _lead(self, mine: Round) -> None:
        claims: Sequence[Claim] = ()
        try:
            claims = self.serve(mine)
        finally:
            with self._lock:
                mine.claims, mine.found, mine.served = list(claims), bool(claims), True
                self._serving = False
                mine.change.notify_all()
                self._next.change.notify()
