"""Projects, boards, tasks, comments and service levels, made over HTTP."""

from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    from tests.adapters.http.conftest import ApiFixture

PROJECTS, BOARDS, TASKS = "/api/v1/projects", "/api/v1/projects/boards", "/api/v1/tasks"
COMMENTS, CALENDARS, POLICIES = "/api/v1/comments", "/api/v1/calendars", "/api/v1/sla-policies"
WEEK = {"mon": [["09:00", "17:00"]]}


@frozen
class Workspace:
    """Makes what a project consists of; answers other than 201 fail the test."""

    api: "ApiFixture"
    caller: str = "ada"

    def make(self, path: str, body: Any) -> dict[str, Any]:
        """Send a POST as the caller, and return the answer."""
        made = self.api.post(path, self.caller, body)
        assert made.status_code == 201, made.json
        return dict(made.json)

    def project(self, name: str = "Website", **members: str) -> int:
        """Create a project with further members, such as `bob="MEMBER"`; return its id."""
        project_id = int(self.make(PROJECTS, {"name": name})["id"])
        for username, role in members.items():
            self.member(project_id, username, role)
        return project_id

    def member(self, project_id: int, username: str, role: str = "MEMBER") -> None:
        """Add a user to a project."""
        body = {"user_id": self.api.users[username].id, "role": role}
        self.make(f"{PROJECTS}/{project_id}/add_member", body)

    def board(self, project_id: int, **fields: Any) -> int:
        """Create a board; return its id."""
        return int(self.make(BOARDS, {"name": "Board", "project": project_id, **fields})["id"])

    def task(self, board_id: int, **fields: Any) -> int:
        """Create a task; return its id."""
        return int(self.make(TASKS, {"title": "Task", "board": board_id, **fields})["id"])

    def comment(self, task_id: int, **fields: Any) -> int:
        """Comment on a task; return the id of the comment."""
        body = {"content": "Hello", **fields}
        return int(self.make(f"{TASKS}/{task_id}/add_comment", body)["id"])

    def calendar(self, project_id: int, **fields: Any) -> int:
        """Create a calendar; return its id."""
        body = {"name": "Office", "project": project_id, "intervals": WEEK, **fields}
        return int(self.make(CALENDARS, body)["id"])

    def policy(self, project_id: int, **fields: Any) -> int:
        """Create an SLA policy; return its id."""
        body = {"name": "Gold", "project": project_id, **fields}
        return int(self.make(POLICIES, body)["id"])

    def fill(self) -> dict[str, int]:
        """Create one of each, in a project of the caller; return the ids by parameter."""
        project_id = self.project()
        board_id = self.board(project_id)
        task_id = self.task(board_id)
        return {
            "project_id": project_id,
            "board_id": board_id,
            "task_id": task_id,
            "comment_id": self.comment(task_id),
            "calendar_id": self.calendar(project_id),
            "policy_id": self.policy(project_id),
        }

    def archive(self, project_id: int, *, archived: bool = True) -> None:
        """Archive or restore a project."""
        body = {"is_archived": archived}
        changed = self.api.call("PATCH", f"{PROJECTS}/{project_id}", self.caller, body)
        assert changed.status_code == 200, changed.json
