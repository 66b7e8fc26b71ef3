"""Claims of tasks that a process does not know, and the tasks that it excludes."""

from collections.abc import Sequence
from datetime import datetime
from threading import Lock

from attrs import define, field

from workbell.domain.jobs.attempt import Claim
from workbell.domain.jobs.task import Tasks
from workbell.ports.system import Clock


@define(eq=False)
class UnknownTasks:
    """
    Tasks that the process has claimed and does not know.

    Their claims wait here until they are returned to the store, and later
    claims exclude their keys. A key is excluded until `tasks` has it.
    """

    tasks: Tasks
    clock: Clock
    _since: dict[str, datetime] = field(factory=dict[str, datetime])
    _claims: list[Claim] = field(factory=list[Claim])
    _lock: Lock = field(factory=Lock)

    def set_aside(self, claims: Sequence[Claim]) -> list[Claim]:
        """Exclude the tasks of unknown claims; return these claims, to be returned."""
        unknown = [claim for claim in claims if self.tasks.find(claim.task) is None]
        if unknown:
            now = self.clock.now()
            with self._lock:
                self._claims += unknown
                self._since |= {claim.task: now for claim in unknown} | self._since
        return unknown

    def drain(self) -> list[Claim]:
        """Remove and return the claims that wait to be returned."""
        if not self._claims:
            return []
        with self._lock:
            claims, self._claims = self._claims, []
        return claims

    def requeue(self, claims: Sequence[Claim]) -> None:
        """Add claims again that could not be returned."""
        with self._lock:
            self._claims += claims

    def excluded(self) -> dict[str, datetime]:
        """Return the excluded keys, sorted, each with the time since when."""
        if not self._since:
            return {}
        with self._lock:
            known = [key for key in self._since if self.tasks.find(key) is not None]
            for key in known:
                del self._since[key]
            return dict(sorted(self._since.items()))
