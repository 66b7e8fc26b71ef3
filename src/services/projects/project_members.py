"""Use cases of a project's members: add, change and remove them."""

from attrs import evolve, frozen

from workbell.domain.errors import Conflict, Invalid, LimitReached
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import Action
from workbell.domain.identity.user import UserId
from workbell.domain.projects.project import (
    MAX_MEMBERS,
    Project,
    ProjectId,
    ProjectMember,
    ProjectRole,
)
from workbell.domain.validation import check_request
from workbell.ports.projects.repository import ProjectMemberView, ProjectsTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.audit.entries import audit_command
from workbell.services.projects.access import get_project
from workbell.services.projects.requests import FormerProjectMember, NewProjectMember
from workbell.services.transaction_retry import retry_on_contention


@frozen(kw_only=True)
class ProjectMemberService:
    """
    Adds, changes and removes the members of projects.

    Every change holds the project's row. Methods raise `NotFound` unless the actor
    may see the project, and `NotAllowed` if they may only see it.
    """

    store: Store[ProjectsTx]
    clock: Clock

    @retry_on_contention
    def add(self, actor: Actor, project_id: ProjectId, new: NewProjectMember) -> ProjectMemberView:
        """
        Add a user to a project, or change the role of a member.

        Raises:
            Invalid: There is no such active user, or the owner would lose the role ADMIN.
            Conflict: The user is a member with this role already.
            LimitReached: The project has 1,000 members.
        """
        check_request(new)
        now = self.clock.now()
        with self.store.begin() as tx:
            project = get_project(tx, actor, project_id, Action.MANAGE_PROJECT, lock=True)
            user_id = UserId(new.user_id)
            user = tx.users.find_many([user_id]).get(user_id)
            if user is None or not user.is_active:
                raise Invalid.field("user_id", "is not the id of an active user")
            before = tx.project_members.find(project_id, user_id)
            member = ProjectMember(
                project_id=project_id, user_id=user_id, role=new.role, joined_at=now
            )
            if before is None:
                check_member_limit(len(tx.project_members.list_of([project_id])))
                member = tx.project_members.add(member)
            else:
                check_new_role(project, before, new.role)
                member = evolve(before, role=new.role)
                tx.project_members.replace(member)
            roles = [before.role.value if before else None, new.role.value]
            audit_command(
                tx.audit,
                actor,
                "ADD_MEMBER",
                "project_member",
                user_id,
                now,
                {"role": roles},
                project_id=project_id,
            )
        return ProjectMemberView(member=member, user=user)

    @retry_on_contention
    def remove(self, actor: Actor, project_id: ProjectId, former: FormerProjectMember) -> None:
        """
        Remove a member, and end their watches; members may also leave themselves.

        Raises:
            Invalid: The user is not a member, or owns the project.
        """
        check_request(former)
        now, user_id = self.clock.now(), UserId(former.user_id)
        action = Action.LEAVE_PROJECT if user_id == actor.user_id else Action.MANAGE_PROJECT
        with self.store.begin() as tx:
            project = get_project(tx, actor, project_id, action, lock=True)
            project.check_removable(user_id)
            before = tx.project_members.find(project_id, user_id)
            if before is None or not tx.project_members.remove(project_id, user_id):
                raise Invalid.field("user_id", "is not a member of the project")
            audit_command(
                tx.audit,
                actor,
                "REMOVE_MEMBER",
                "project_member",
                user_id,
                now,
                {"role": [before.role.value, None]},
                project_id=project_id,
            )


def check_member_limit(count: int) -> None:
    """Raise LimitReached if a project has the most members."""
    if count >= MAX_MEMBERS:
        raise LimitReached(
            f"A project has at most {MAX_MEMBERS:,} members.", used=count, limit=MAX_MEMBERS
        )


def check_new_role(project: Project, before: ProjectMember, role: ProjectRole) -> None:
    """Raise Conflict or Invalid if a member cannot get this role."""
    if before.role is role:
        raise Conflict(f"The user is a member with the role {role} already.")
    if before.user_id == project.owner_id:
        raise Invalid.field("role", "of the owner is ADMIN and stays so")
