"""Task definitions: what the code declares, kept with ids and a switch."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import Factory, define, evolve, field, frozen

from workbell.domain.audit import AuditEntry
from workbell.domain.errors import Invalid, NotFound
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import Action, check
from workbell.domain.jobs.job import MAX_JSON_BYTES
from workbell.domain.jobs.task import Task, TaskDefinition, TaskId, Tasks, parameter_errors
from workbell.ports.jobs.repository import JobsTx
from workbell.ports.serialization import Serializer
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.identity.actor_cache import LIFE
from workbell.services.transaction_retry import retry_on_contention

ANY_OBJECT: Mapping[str, Any] = {"type": "object", "properties": {}}


@define(eq=False)
class _Recent:
    """Definitions by id or key, and until when they count; a change puts a new dict in place."""

    known: dict[int | str, tuple[TaskDefinition, datetime]] = Factory(
        dict[int | str, tuple[TaskDefinition, datetime]]
    )

    def evict(self) -> None:
        self.known = {}


@frozen(kw_only=True)
class TaskDefinitionService:
    """List tasks, switch them on and off, and check parameters against them."""

    store: Store[JobsTx]
    clock: Clock
    tasks: Tasks
    serializer: Serializer
    _recent: _Recent = field(default=Factory(_Recent), init=False, eq=False, repr=False)

    def all(self) -> Sequence[TaskDefinition]:
        """Return every definition, by id."""
        with self.store.view() as tx:
            return tx.definitions.all()

    def get(self, task_id: TaskId) -> TaskDefinition:
        """
        Return one definition.

        Raises:
            NotFound: There is none with the id.
        """
        with self.store.view() as tx:
            return tx.definitions.get(task_id)

    def by_name(self, name: int | str) -> TaskDefinition:
        """
        Return the definition that a body names by id or key.

        It is looked up once in a few seconds; what this process has changed
        counts at once.

        Raises:
            Invalid: There is none.
        """
        now, recent = self.clock.now(), self._recent.known  # taken before the store is read
        found = recent.get(name)
        if found is None or now >= found[1]:
            found = recent[name] = self._by_name(name), now + LIFE
        return found[0]

    def _by_name(self, name: int | str) -> TaskDefinition:
        try:
            with self.store.view() as tx:
                if isinstance(name, int):
                    return tx.definitions.get(TaskId(name))
                return tx.definitions.by_key(name)
        except NotFound:
            raise Invalid.field("task_definition", f"There is no task {name!r}.") from None

    @retry_on_contention
    def set_active(self, actor: Actor, task_id: TaskId, *, active: bool) -> TaskDefinition:
        """
        Switch a task on or off; waiting jobs of an inactive one are held.

        Raises:
            NotFound: There is none with the id.
            NotAllowed: The actor is no superuser.
        """
        check(actor, Action.SWITCH_TASKS, "Only superusers switch tasks on and off.")
        now = self.clock.now()
        with self.store.begin() as tx:
            before = tx.definitions.get(task_id)
            after = evolve(before, is_active=active)
            if after == before:
                return before
            tx.definitions.replace(after)
            if active:
                tx.jobs.release_task(after.key, now)
            else:
                tx.jobs.hold_task(after.key)
            changes = {"is_active": [before.is_active, active]}
            tx.audit.add(AuditEntry.of(actor, "UPDATE", "task_definition", task_id, now, changes))
        self._recent.evict()
        return after

    def check(self, actor: Actor, task: Task, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """
        Return parameters as they were given, once the task has nothing against them.

        Raises:
            Invalid: They do not fit, or the task refuses them.
            NotAllowed: The task refuses them to this actor.
        """
        try:
            given = self._bounded(parameters)
            value = self.read(task, given)
            if task.check is not None:
                task.check(actor, value)
            return given
        except (Invalid, NotFound) as error:
            wrong = error if isinstance(error, Invalid) else Invalid(error.detail)
            raise parameter_errors(wrong) from error

    def read(self, task: Task, parameters: Mapping[str, Any]) -> Any:
        """
        Return parameters as the value that the task's body takes.

        Raises:
            Invalid: They do not fit.
        """
        if task.parameters is None:
            return parameters
        return self.serializer.structure(parameters, task.parameters)

    def synchronise(self) -> Sequence[Task]:
        """
        Bring the store's definitions up to the code's.

        A changed schema raises the schema version. Return the tasks whose
        schema has changed: rows that hold parameters may no longer fit.
        """
        return [task for task in self.tasks.all() if self._declare(task)]

    def _bounded(self, value: object) -> Mapping[str, Any]:
        """Return parameters as a JSON object that may be kept."""
        written: Mapping[str, Any] = self.serializer.unstructure(value)
        if self.serializer.size(written) > MAX_JSON_BYTES:
            raise Invalid(f"Must take at most {MAX_JSON_BYTES} bytes.")
        return written

    @retry_on_contention
    def _declare(self, task: Task) -> bool:
        """Keep a task's definition as declared; return whether its schema has changed."""
        schema = self.serializer.schema(task.parameters) if task.parameters else ANY_OBJECT
        declared = TaskDefinition(
            key=task.key,
            name=task.name or task.key,
            description=task.description,
            schema=schema,
            created_at=self.clock.now(),
        )
        with self.store.begin() as tx:
            kept = tx.definitions.add(declared)
            changed = self.serializer.digest(kept.schema) != self.serializer.digest(schema)
            current = evolve(
                kept,
                name=declared.name,
                description=declared.description,
                schema=schema if changed else kept.schema,
                schema_version=kept.schema_version + changed,
            )
            if current != kept:
                tx.definitions.replace(current)
        self._recent.evict()
        return changed
