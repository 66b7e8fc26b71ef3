"""What people do with their goals, put together over one store."""

from attrs import frozen

from ..ports.goals import GoalsTx
from ..ports.store import Store
from ..ports.system import Clock
from ..ports.tasks import Shapes
from .goals import GoalCommands
from .progress import ProgressCommands
from .timers import TimerCommands


@frozen(kw_only=True)
class GoalKeeping:
    """Goals, their progress, and the timer."""

    goals: GoalCommands
    progress: ProgressCommands
    timers: TimerCommands

    @classmethod
    def of(cls, store: Store[GoalsTx], clock: Clock, shapes: Shapes) -> "GoalKeeping":
        """Return the services over a store."""
        return cls(
            goals=GoalCommands(store=store, clock=clock, shapes=shapes),
            progress=ProgressCommands(store=store, clock=clock, shapes=shapes),
            timers=TimerCommands(store=store, clock=clock),
        )
