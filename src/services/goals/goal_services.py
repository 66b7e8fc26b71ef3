"""What people do with their goals, put together over one store."""

from attrs import frozen

from workbell.ports.goals.repository import GoalsTx
from workbell.ports.serialization import Serializer
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.goals.commands import GoalCommands
from workbell.services.goals.progress import ProgressCommands
from workbell.services.goals.timers import TimerCommands


@frozen(kw_only=True)
class GoalKeeping:
    """Goals, their progress, and the timer."""

    goals: GoalCommands
    progress: ProgressCommands
    timers: TimerCommands

    @classmethod
    def of(cls, store: Store[GoalsTx], clock: Clock, serializer: Serializer) -> "GoalKeeping":
        """Return the services over a store."""
        return cls(
            goals=GoalCommands(store=store, clock=clock, serializer=serializer),
            progress=ProgressCommands(store=store, clock=clock, serializer=serializer),
            timers=TimerCommands(store=store, clock=clock),
        )
