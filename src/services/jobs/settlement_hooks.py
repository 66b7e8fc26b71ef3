"""Reactions of other contexts to the outcomes of jobs."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from workbell.domain.jobs.attempt import Settlement

TxT_contra = TypeVar("TxT_contra", contravariant=True)


class SettlementHook(Protocol[TxT_contra]):
    """Reaction of another context to outcomes, in their transaction."""

    def applies_to(self, settlement: Settlement) -> bool:
        """Whether the other context needs to see the outcome."""
        ...

    def prepare(
        self, tx: TxT_contra, settlements: Sequence[Settlement]
    ) -> Callable[[Sequence[Settlement]], None]:
        """
        Lock the other context's rows before the job rows are written.

        Returns a function that is called in the same transaction with the
        settlements that the store has accepted.
        """
        ...
