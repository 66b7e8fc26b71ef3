"""Second factors (TOTP) over HTTP: enrolment, recovery codes, removal."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from attrs import field, frozen

from workbell.adapters.http.identity.auth import (
    BASE,
    NO_STORE,
    Code,
    MessageBody,
    Secret,
    message_response,
)
from workbell.adapters.http.web.mapping import copy_fields
from workbell.adapters.http.web.operations import (
    Access,
    AnyOperation,
    ApiRequest,
    ApiResponse,
    Operation,
)
from workbell.domain.identity.user import UserId
from workbell.services.identity.second_factor import SecondFactorService
from workbell.services.identity.users import UserAdministration

PATH = f"{BASE}/second-factor"


@frozen(kw_only=True)
class CurrentPasswordBody:
    """The current password."""

    current_password: Secret = field(repr=False)


@frozen(kw_only=True)
class ConfirmationCodeBody:
    """A code of the new second factor."""

    code: Code = field(repr=False)


@frozen(kw_only=True)
class PasswordAndCodeBody:
    """The current password, and a code or a recovery code."""

    current_password: Secret = field(repr=False)
    code: Code = field(repr=False)


@frozen(kw_only=True, slots=False)
class SecondFactorBody:
    """State of the second factor; `since` is null while it is not active."""

    is_active: bool
    is_required: bool
    since: datetime | None
    recovery_codes_left: int


@frozen(kw_only=True, slots=False)
class SecondFactorSecretBody:
    """A new secret as text and as otpauth URI; returned only once."""

    secret: str
    uri: str


@frozen(kw_only=True, slots=False)
class RecoveryCodesBody:
    """Recovery codes, each valid for one use; returned only once."""

    recovery_codes: Sequence[str]


@frozen(kw_only=True)
class SecondFactorRoutes:
    """The caller's own second factor, and removal of other users' factors."""

    second_factor: SecondFactorService
    users: UserAdministration

    def show(self, request: ApiRequest) -> ApiResponse:
        """Return the state of the caller's second factor."""
        state = self.second_factor.state(request.actor)
        body = copy_fields(SecondFactorBody, state, is_active=state.since is not None)
        return ApiResponse(body=body)

    def begin(self, request: ApiRequest[CurrentPasswordBody]) -> ApiResponse:
        """Create a secret, which becomes active when it is confirmed."""
        secret = self.second_factor.begin(request.actor, request.body.current_password)
        body = SecondFactorSecretBody(secret=secret.text, uri=secret.uri)
        return ApiResponse(status=201, body=body, headers={**NO_STORE, "Location": PATH})

    def confirm(self, request: ApiRequest[ConfirmationCodeBody]) -> ApiResponse:
        """Activate the second factor and return recovery codes."""
        return _recovery_codes(self.second_factor.confirm(request.actor, request.body.code))

    def renew(self, request: ApiRequest[PasswordAndCodeBody]) -> ApiResponse:
        """Replace the recovery codes."""
        data = request.body
        codes = self.second_factor.renew(request.actor, data.current_password, data.code)
        return _recovery_codes(codes)

    def remove(self, request: ApiRequest[PasswordAndCodeBody]) -> ApiResponse:
        """Remove the caller's second factor and end all other sessions."""
        data = request.body
        self.second_factor.remove(request.actor, data.current_password, data.code)
        return message_response("The second factor is removed; all other sessions have ended.")

    def remove_lost(self, request: ApiRequest) -> ApiResponse:
        """Remove another user's second factor and end their sessions."""
        self.users.remove_second_factor(request.actor, UserId(request.ids["user_id"]))
        return ApiResponse(status=204)


def _recovery_codes(codes: Sequence[str]) -> ApiResponse:
    return ApiResponse(body=RecoveryCodesBody(recovery_codes=list(codes)), headers=NO_STORE)


def operations(routes: SecondFactorRoutes) -> Sequence[AnyOperation]:
    """Return the operations on second factors."""
    own: dict[str, Any] = {"access": Access.SELF, "tag": "identity", "no_api_key": True}
    enrolment: dict[str, Any] = {"allowed_while_enrolling": True, **own}
    both: dict[str, Any] = {"request": PasswordAndCodeBody, "errors": (403, 409, 503), **own}
    return (
        Operation(
            method="GET", path=PATH, name="get_second_factor",
            summary="Get the state of the current user's second factor.", handler=routes.show,
            responses={200: SecondFactorBody}, errors=(403,), **enrolment,
        ),
        Operation(
            method="POST", path=PATH, name="begin_second_factor",
            summary="Create a second factor secret; it becomes active when it is confirmed.",
            handler=routes.begin, request=CurrentPasswordBody,
            responses={201: SecondFactorSecretBody}, errors=(403, 409, 503), **enrolment,
        ),
        Operation(
            method="POST", path=f"{PATH}/confirm", name="confirm_second_factor",
            summary="Activate a second factor with its first code and end all other sessions.",
            handler=routes.confirm, request=ConfirmationCodeBody,
            responses={200: RecoveryCodesBody}, errors=(403, 409), **enrolment,
        ),
        Operation(
            method="POST", path=f"{PATH}/recovery-codes", name="renew_recovery_codes",
            summary="Replace the recovery codes; the previous ones become invalid.",
            handler=routes.renew, responses={200: RecoveryCodesBody}, **both,
        ),
        Operation(
            method="POST", path=f"{PATH}/remove", name="remove_second_factor",
            summary="Remove the current user's second factor and end all other sessions.",
            handler=routes.remove, responses={200: MessageBody}, **both,
        ),
        Operation(
            method="DELETE", path="/api/v1/users/{user_id}/second-factor",
            name="remove_lost_second_factor",
            summary="Remove a user's lost second factor and end all their sessions.",
            handler=routes.remove_lost, responses={204: None}, errors=(409,),
            access=Access.SUPERUSER, tag="identity",
        ),
    )  # fmt: skip
