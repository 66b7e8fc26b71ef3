"""What the engine counts in one process, as operators want to see it."""

from collections import Counter as Tally
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet

from attrs import define, field

from workbell.adapters.observability.metrics import Counter, Measure
from workbell.domain.jobs.attempt import Claim, Settlement
from workbell.domain.jobs.job import JobId


def _counter(name: str, help: str, label: str = "") -> Callable[[], Counter]:
    return lambda: Counter(f"workbell_{name}", help, label)


@define(eq=False)
class Counts:
    """The counters of worker, sweeper and scheduler; those of absent parts stay at 0."""

    claimed: Counter = field(factory=_counter("claims_total", "Jobs claimed."))
    waited: Counter = field(
        factory=_counter("wait_seconds_total", "Seconds that claimed jobs had been due.")
    )
    ended: Counter = field(
        factory=_counter("attempts_total", "Attempts that ended, by outcome.", "outcome")
    )
    ran: Counter = field(factory=_counter("attempt_seconds_total", "Seconds that attempts took."))
    stale: Counter = field(
        factory=_counter("stale_finishes_total", "Outcomes refused: the claim was lost.")
    )
    staged: Counter = field(factory=_counter("staged_total", "Jobs that became due."))
    reaped: Counter = field(
        factory=_counter("reaped_total", "Attempts that were closed because nobody did.")
    )
    ticked: Counter = field(
        factory=_counter("schedules_ticked_total", "Schedules whose ticks were recorded.")
    )
    late: Counter = field(
        factory=_counter("tick_lateness_seconds_total", "Lateness of each pass over schedules.")
    )
    moves: Counter = field(
        factory=_counter("clock_moves_total", "Times the store's clock moved by over 2 seconds.")
    )
    passes: Counter = field(
        factory=_counter("tick_passes_total", "Passes over schedules that found any due.")
    )

    def took(self, claims: Sequence[Claim]) -> None:
        """Count claims, and how long they had waited."""
        self.claimed.add(len(claims))
        self.waited.add(sum((c.started_at - c.due_at).total_seconds() for c in claims))

    def finished(self, settlements: Sequence[Settlement], accepted: AbstractSet[JobId]) -> None:
        """Count outcomes, accepted and refused, and what they took."""
        kept = [each for each in settlements if each.id in accepted]
        if len(kept) < len(settlements):
            self.stale.add(len(settlements) - len(kept))
        self.ran.add(sum((each.ended_at - each.started_at).total_seconds() for each in kept))
        for outcome, count in Tally(each.outcome for each in kept).items():
            self.ended.add(count, str(outcome))

    def measures(self) -> Sequence[Measure]:
        """Return all of them as they stand."""
        return [
            each.measure()
            for each in (
                self.claimed,
                self.waited,
                self.ended,
                self.ran,
                self.stale,
                self.staged,
                self.reaped,
                self.ticked,
                self.late,
                self.passes,
                self.moves,
            )
        ]
