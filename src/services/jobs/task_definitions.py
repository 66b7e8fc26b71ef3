"""Task definitions: the stored form of the tasks in the code."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import Factory, define, evolve, field, frozen

from workbell.domain.audit.entry import AuditEntry
from workbell.domain.errors import Invalid, NotAllowed, NotFound
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import Action, check
from workbell.domain.jobs.job import MAX_JSON_BYTES
from workbell.domain.jobs.task import Task, TaskDefinition, TaskId, Tasks, parameter_errors
from workbell.ports.jobs.repository import JobsTx
from workbell.ports.serialization import Serializer
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.identity.actor_cache import TTL
from workbell.services.jobs.parking import release_parked
from workbell.services.transaction_retry import retry_on_contention

SWITCH_LIMIT = 500
"""Jobs that switching a task holds or releases at once."""
MAX_HELD_COUNT = 10_000

ANY_OBJECT: Mapping[str, Any] = {"type": "object", "properties": {}}


@define(eq=False)
class _Cache:
    """Cached definitions by id or key, with their expiry times."""

    entries: dict[int | str, tuple[TaskDefinition, datetime]] = Factory(
        dict[int | str, tuple[TaskDefinition, datetime]]
    )

    def evict(self) -> None:
        self.entries = {}


@frozen(kw_only=True)
class TaskDefinitionService:
    """
    Lists, activates and deactivates tasks; validates their parameters.

    Definitions looked up by name are cached for 5 s; a change made by this
    process evicts them at once.
    """

    store: Store[JobsTx]
    clock: Clock
    tasks: Tasks
    serializer: Serializer
    _cache: _Cache = field(default=Factory(_Cache), init=False, eq=False, repr=False)

    def all(self) -> Sequence[TaskDefinition]:
        """Return every definition by id, without those of internal tasks."""
        with self.store.view() as tx:
            return [each for each in tx.definitions.all() if not self._is_internal(each.key)]

    def parked(self) -> Mapping[str, datetime]:
        """Return the keys of parked tasks, each with the time since when."""
        with self.store.view() as tx:
            return tx.definitions.parked()

    def count_held(self, keys: Sequence[str]) -> Mapping[str, int]:
        """
        Return how many jobs of tasks are held because of the task, counting to 10,000.

        For an active task these are the jobs that are still to be released.
        """
        with self.store.view() as tx:
            return {key: tx.jobs.count_held(key, limit=MAX_HELD_COUNT) for key in keys}

    def get(self, task_id: TaskId) -> TaskDefinition:
        """Return the definition with an id; raises NotFound."""
        with self.store.view() as tx:
            return tx.definitions.get(task_id)

    def by_name(self, name: int | str) -> TaskDefinition:
        """Return the definition with an id or key, cached; raises Invalid."""
        # an eviction replaces the dict, so a value read before it is not cached
        now, entries = self.clock.now(), self._cache.entries
        entry = entries.get(name)
        if entry is None or now >= entry[1]:
            entry = entries[name] = self._load(name), now + TTL
        return entry[0]

    def _load(self, name: int | str) -> TaskDefinition:
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
        Activate or deactivate a task; no job of an inactive one starts.

        Waiting jobs are held or released in batches of 500: the first ones here,
        the others by the sweeper.
        """
        check(actor, Action.SWITCH_TASKS, "Only superusers may activate or deactivate tasks.")
        now = self.clock.now()
        with self.store.begin() as tx:
            before = tx.definitions.get(task_id)
            after = evolve(before, is_active=active)
            if after == before:
                return before
            tx.definitions.replace(after)
            # workers refuse the ready ones, and sweepers move the others
            if not active:
                tx.jobs.hold_first([after.key], limit=SWITCH_LIMIT)
            elif after.parked_at is None:
                tx.jobs.release_task(after.key, now, limit=SWITCH_LIMIT)
            changes = {"is_active": [before.is_active, active]}
            tx.audit.add(AuditEntry.of(actor, "UPDATE", "task_definition", task_id, now, changes))
        self._cache.evict()
        return after

    def check(self, actor: Actor, task: Task, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """
        Validate parameters for a task; return them as JSON.

        Raises:
            Invalid: They do not match the schema, or the task refuses them.
            NotAllowed: The task is internal, or refuses them to this actor.
        """
        if task.is_internal and not actor.is_system:
            raise NotAllowed(f"Only the service itself creates jobs of {task.key}.")
        try:
            value_json = self._to_json(parameters)
            value = self.parse_parameters(task, value_json)
            if task.parameters is None:
                self.serializer.structure(value_json, dict[str, Any])
            if task.check is not None:
                task.check(actor, value)
            return value_json
        except (Invalid, NotFound) as error:
            wrong = error if isinstance(error, Invalid) else Invalid(error.detail)
            raise parameter_errors(wrong) from error

    def parse_parameters(self, task: Task, parameters: Mapping[str, Any]) -> Any:
        """Return parameters as the type that the task takes; raises Invalid."""
        if task.parameters is None:
            return parameters
        return self.serializer.structure(parameters, task.parameters)

    def synchronise(self) -> Sequence[Task]:
        """
        Store the definitions of all tasks in the code.

        A changed schema increments its version; jobs of parked tasks are released,
        because this process knows them. Returns the tasks whose schema
        has changed: stored parameters may no longer match it.
        """
        return [task for task in self.tasks.all() if self._synchronise_task(task)]

    def _is_internal(self, key: str) -> bool:
        task = self.tasks.find(key)
        return task is not None and task.is_internal

    def _to_json(self, value: object) -> Mapping[str, Any]:
        """Return parameters as a JSON object of bounded size."""
        json_value: Mapping[str, Any] = self.serializer.unstructure(value)
        if self.serializer.size(json_value) > MAX_JSON_BYTES:
            raise Invalid(f"Must take at most {MAX_JSON_BYTES} bytes.")
        return json_value

    @retry_on_contention
    def _synchronise_task(self, task: Task) -> bool:
        """Store a task's definition; return whether its schema changed."""
        schema = self.serializer.schema(task.parameters) if task.parameters else ANY_OBJECT
        declared = TaskDefinition(
            key=task.key,
            name=task.name or task.key,
            description=task.description,
            schema=schema,
            created_at=self.clock.now(),
        )
        with self.store.begin() as tx:
            stored = tx.definitions.add(declared)
            changed = self.serializer.digest(stored.schema) != self.serializer.digest(schema)
            current = evolve(
                stored,
                name=declared.name,
                description=declared.description,
                schema=schema if changed else stored.schema,
                schema_version=stored.schema_version + changed,
            )
            if current != stored:
                tx.definitions.replace(current)
            if stored.parked_at is not None:
                release_parked(tx, task.key, self.clock.now())
        self._cache.evict()
        return changed
