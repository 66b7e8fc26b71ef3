"""SLA policies, and the clocks of tasks, over HTTP."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from workbell.adapters.http.projects.sla.views import (
    AppliedBody,
    SlaPolicyBody,
    TaskSlaBody,
    clock_body,
    policy_body,
)
from workbell.adapters.http.web.operations import (
    AnyOperation,
    ApiRequest,
    ApiResponse,
    ListOf,
    Operation,
    PartialOperation,
)
from workbell.adapters.http.web.pagination import PageQuery, make_slice, numbered_page
from workbell.adapters.http.web.request import etag_header
from workbell.domain.projects.sla.policy import PolicyId, SlaPolicy
from workbell.domain.projects.work_item import WorkItemId
from workbell.services.projects.sla.application import PolicyApplication
from workbell.services.projects.sla.explanations import SlaExplanations
from workbell.services.projects.sla.policies import PolicyService
from workbell.services.projects.sla.requests import NewPolicy

BASE = "/api/v1/sla-policies"
ONE = f"{BASE}/{{policy_id}}"


@frozen(kw_only=True)
class PolicyQuery(PageQuery):
    """Filters and page of a list of SLA policies."""

    project: int | None = None
    is_active: bool | None = None


@frozen(kw_only=True)
class PolicyRoutes:
    """SLA policies of projects, and the clocks of their tasks."""

    policies: PolicyService
    application: PolicyApplication
    explanations: SlaExplanations

    def list(self, request: ApiRequest[object, PolicyQuery]) -> ApiResponse:
        """Return a page of the policies that the caller may see."""
        query = request.query
        part = make_slice(request, query.page, query.page_size)
        found, total = self.policies.list(
            request.actor,
            project_id=query.project,
            is_active=query.is_active,
            offset=part.offset,
            limit=part.size,
        )
        return numbered_page(request, part, [*map(policy_body, found)], total)

    def create(self, request: ApiRequest[NewPolicy]) -> ApiResponse:
        """Create a policy."""
        policy = self.policies.create(request.actor, request.body)
        return _response(policy, 201, Location=f"{BASE}/{policy.id}")

    def get(self, request: ApiRequest) -> ApiResponse:
        """Return one policy."""
        return _response(self._get(request))

    def change(self, request: ApiRequest[Mapping[str, Any]]) -> ApiResponse:
        """Change the given fields of a policy."""
        version = request.expected_version(self._get(request).version)
        changed = self.policies.change(
            request.actor, policy_id(request), request.body, version=version
        )
        return _response(changed)

    def delete(self, request: ApiRequest) -> ApiResponse:
        """Delete a policy."""
        version = request.expected_version(self._get(request).version)
        self.policies.delete(request.actor, policy_id(request), version=version)
        return ApiResponse(status=204)

    def apply(self, request: ApiRequest) -> ApiResponse:
        """Move open clocks to the present versions."""
        changed = self.application.apply(request.actor, policy_id(request))
        return ApiResponse(body=AppliedBody(changed=changed))

    def explain(self, request: ApiRequest) -> ApiResponse:
        """Explain the clocks of a task."""
        item_id = WorkItemId(request.ids["task_id"])
        found = self.explanations.explain(request.actor, item_id)
        return ApiResponse(body=TaskSlaBody(clocks=[*map(clock_body, found)]))

    def check_change(self, request: ApiRequest) -> None:
        """Raise unless the caller may change the policy in the path."""
        self.policies.check_change(request.actor, policy_id(request))

    def _get(self, request: ApiRequest) -> SlaPolicy:
        return self.policies.get(request.actor, policy_id(request))


def policy_id(request: ApiRequest) -> PolicyId:
    """Return the id of the policy in a path."""
    return PolicyId(request.ids["policy_id"])


def _response(policy: SlaPolicy, status: int = 200, **headers: str) -> ApiResponse:
    headers = {**etag_header(policy.version), **headers}
    return ApiResponse(status=status, body=policy_body(policy), headers=headers)


def operations(routes: PolicyRoutes) -> Sequence[AnyOperation]:
    """Return the operations on SLA policies and clocks."""
    style: dict[str, Any] = {"tag": "projects"}
    managed: dict[str, Any] = {
        "exists": routes.check_change, "errors": (409,), "etag": True, **style,
    }  # fmt: skip
    return (
        Operation(
            method="GET", path=BASE, name="list_sla_policies",
            summary="List SLA policies.", handler=routes.list,
            query=PolicyQuery, responses={200: ListOf(SlaPolicyBody)}, errors=(404,), **style,
        ),
        Operation(
            method="POST", path=BASE, name="create_sla_policy",
            summary="Create an SLA policy of a project, of which one may be active.",
            handler=routes.create, request=NewPolicy, responses={201: SlaPolicyBody}, errors=(409,),
            **style,
        ),
        Operation(
            method="GET", path=ONE, name="get_sla_policy", summary="Get an SLA policy.",
            handler=routes.get, responses={200: SlaPolicyBody}, etag=True, **style,
        ),
        PartialOperation(
            method="PATCH", path=ONE, name="change_sla_policy",
            summary="Change a policy; open clocks keep their version until it is applied.",
            handler=routes.change, request=NewPolicy, responses={200: SlaPolicyBody}, **managed,
        ),
        Operation(
            method="DELETE", path=ONE, name="delete_sla_policy",
            summary="Delete a policy; the clocks that use it go on.",
            handler=routes.delete, responses={204: None}, **managed,
        ),
        Operation(
            method="POST", path=f"{ONE}/apply", name="apply_sla_policy",
            summary="Move the open clocks of the project to the policy as it is now.",
            handler=routes.apply, responses={200: AppliedBody}, errors=(409,), **style,
        ),
        Operation(
            method="GET", path="/api/v1/tasks/{task_id}/sla", name="get_task_sla",
            summary="Explain the SLA clocks of a task, segment by segment.",
            handler=routes.explain, responses={200: TaskSlaBody}, **style,
        ),
    )  # fmt: skip
