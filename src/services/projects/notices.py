"""Notices about tasks: whom an event concerns."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from attrs import evolve

from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import Action, get_scope
from workbell.domain.identity.user import UserId
from workbell.domain.notifications.notice import Notice, NoticeKind
from workbell.domain.projects.comment import Comment
from workbell.domain.projects.project import ProjectId
from workbell.domain.projects.work_item import WorkItem
from workbell.ports.projects.repository import ProjectsTx


def limit_to_readers(tx: ProjectsTx, notices: Iterable[Notice]) -> Sequence[Notice]:
    """Return notices without recipients who may not see the project, such as former members."""
    found = list(notices)
    readers: dict[int, set[UserId]] = {}
    for project_id in {notice.project_id for notice in found if notice.project_id is not None}:
        users = {
            user for each in found if each.project_id == project_id for user in each.recipients
        }
        readers[project_id] = find_readers(tx, ProjectId(project_id), users)
    return [
        evolve(
            notice,
            recipients=[
                user
                for user in notice.recipients
                if notice.project_id is None or user in readers[notice.project_id]
            ],
        )
        for notice in found
    ]


def find_readers(
    tx: ProjectsTx, project_id: ProjectId, user_ids: Collection[UserId]
) -> set[UserId]:
    """Return those of the users who may see a project."""
    members = set(tx.project_members.roles(project_id, user_ids)) if user_ids else set[UserId]()
    others = set(user_ids) - members
    users = tx.users.find_many(others) if others else {}
    return members | {
        user_id
        for user_id, user in users.items()
        if get_scope(Actor.of(user), Action.READ_PROJECT).owner is None
    }


def concerned_users(item: WorkItem, watchers: Collection[UserId]) -> list[UserId]:
    """Return the assignee, the reporter and the watchers of a task."""
    assignee = () if item.assignee_id is None else (item.assignee_id,)
    return list(dict.fromkeys([*assignee, item.reporter_id, *watchers]))


def assignment_notices(actor: Actor, before: WorkItem | None, after: WorkItem) -> Iterator[Notice]:
    """Yield the notice to a new assignee."""
    if after.assignee_id is not None and (
        before is None or before.assignee_id != after.assignee_id
    ):
        yield make_notice(
            NoticeKind.ASSIGNMENT, actor, after, f"{after.id}:{after.version}", [after.assignee_id]
        )


def status_notices(
    actor: Actor, before: WorkItem, after: WorkItem, watchers: Collection[UserId]
) -> Iterator[Notice]:
    """Yield the notice of a changed status."""
    if after.status is not before.status:
        yield make_notice(
            NoticeKind.STATUS,
            actor,
            after,
            f"{after.id}:{after.version}",
            concerned_users(after, watchers),
            before=before.status.value,
            after=after.status.value,
        )


def comment_notices(
    actor: Actor,
    item: WorkItem,
    comment: Comment,
    mentioned: Sequence[UserId],
    others: Sequence[UserId],
) -> Iterator[Notice]:
    """Yield the notices of a comment: to those it mentions, and to the others."""
    key, excerpt = str(comment.id), comment.content[:500]
    rest = [user_id for user_id in others if user_id not in mentioned]
    for kind, recipients in ((NoticeKind.MENTION, mentioned), (NoticeKind.COMMENT, rest)):
        if recipients:
            yield make_notice(kind, actor, item, key, recipients, excerpt=excerpt)


def make_notice(
    kind: NoticeKind,
    actor: Actor,
    item: WorkItem,
    key: str,
    recipients: Sequence[UserId],
    **data: Any,
) -> Notice:
    """Return a notice about a task."""
    return Notice(
        kind=kind,
        key=key,
        recipients=recipients,
        actor_id=actor.user_id,
        project_id=item.project_id,
        object_id=item.id,
        title=item.title,
        data={"actor": actor.username, **data},
    )
