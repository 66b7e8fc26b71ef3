"""One's own second factor over HTTP, and taking a lost one from somebody."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from attrs import field, frozen

from workbell.adapters.http.identity.auth import BASE, Code, MessageBody, Secret
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
_NO_STORE = {"Cache-Control": "no-store"}


@frozen(kw_only=True)
class PasswordProofBody:
    """The current password."""

    current_password: Secret = field(repr=False)


@frozen(kw_only=True)
class FirstCodeBody:
    """The first code of a new second factor."""

    code: Code = field(repr=False)


@frozen(kw_only=True)
class BothProofsBody:
    """The current password, and a code or a recovery code."""

    current_password: Secret = field(repr=False)
    code: Code = field(repr=False)


@frozen(kw_only=True, slots=False)
class FactorBody:
    """Whether there is a second factor, since when, and whether there must be one."""

    is_active: bool
    is_required: bool
    since: datetime | None
    recovery_codes_left: int


@frozen(kw_only=True, slots=False)
class SecretBody:
    """A new secret, as text and as devices read it from a QR code; it is shown this once."""

    secret: str
    uri: str


@frozen(kw_only=True, slots=False)
class RecoveryBody:
    """Recovery codes, each good for one use; they are shown this once."""

    recovery_codes: Sequence[str]


@frozen(kw_only=True)
class SecondFactorRoutes:
    """One's own second factor."""

    second_factor: SecondFactorService
    people: UserAdministration

    def show(self, call: ApiRequest) -> ApiResponse:
        """Return how it stands."""
        state = self.second_factor.state(call.actor)
        body = FactorBody(
            is_active=state.since is not None,
            is_required=state.is_required,
            since=state.since,
            recovery_codes_left=state.recovery_codes_left,
        )
        return ApiResponse(body=body)

    def begin(self, call: ApiRequest[PasswordProofBody]) -> ApiResponse:
        """Return a new secret."""
        asked = call.body
        made = self.second_factor.begin(call.actor, asked.current_password)
        headers = {**_NO_STORE, "Location": PATH}
        return ApiResponse(
            status=201, body=SecretBody(secret=made.text, uri=made.uri), headers=headers
        )

    def confirm(self, call: ApiRequest[FirstCodeBody]) -> ApiResponse:
        """Have it count, and return recovery codes."""
        return _recovery(self.second_factor.confirm(call.actor, call.body.code))

    def renew(self, call: ApiRequest[BothProofsBody]) -> ApiResponse:
        """Return new recovery codes."""
        asked = call.body
        return _recovery(self.second_factor.renew(call.actor, asked.current_password, asked.code))

    def remove(self, call: ApiRequest[BothProofsBody]) -> ApiResponse:
        """Remove it."""
        asked = call.body
        self.second_factor.remove(call.actor, asked.current_password, asked.code)
        said = "The second factor is removed, and all other sessions have ended."
        return ApiResponse(body=MessageBody(message=said))

    def remove_lost(self, call: ApiRequest) -> ApiResponse:
        """Remove somebody else's."""
        user_id = UserId(call.ids["user_id"])
        self.people.remove_second_factor(call.actor, user_id)
        return ApiResponse(status=204)


def _recovery(codes: Sequence[str]) -> ApiResponse:
    return ApiResponse(body=RecoveryBody(recovery_codes=list(codes)), headers=_NO_STORE)


def operations(routes: SecondFactorRoutes) -> Sequence[AnyOperation]:
    """Return the operations on second factors."""
    own: dict[str, Any] = {"who": Access.SELF, "tag": "identity", "keyless": True}
    both: dict[str, Any] = {"request": BothProofsBody, "errors": (403, 409, 503), **own}
    return (
        Operation(
            method="GET", path=PATH, name="get_second_factor",
            summary="Show how it stands with one's own second factor.", handler=routes.show,
            answers={200: FactorBody}, errors=(403,), enrols=True, **own,
        ),
        Operation(
            method="POST", path=PATH, name="begin_second_factor",
            summary="Have a secret for a second factor; it counts once it is confirmed.",
            handler=routes.begin, request=PasswordProofBody, answers={201: SecretBody},
            errors=(403, 409, 503), enrols=True, **own,
        ),
        Operation(
            method="POST", path=f"{PATH}/confirm", name="confirm_second_factor",
            summary="Confirm a second factor by its first code; all other sessions end.",
            handler=routes.confirm, request=FirstCodeBody, answers={200: RecoveryBody},
            errors=(403, 409), enrols=True, **own,
        ),
        Operation(
            method="POST", path=f"{PATH}/recovery-codes", name="renew_recovery_codes",
            summary="Have new recovery codes; the earlier ones work no more.",
            handler=routes.renew, answers={200: RecoveryBody}, **both,
        ),
        Operation(
            method="POST", path=f"{PATH}/remove", name="remove_second_factor",
            summary="Remove one's own second factor; all other sessions end.",
            handler=routes.remove, answers={200: MessageBody}, **both,
        ),
        Operation(
            method="DELETE", path="/api/v1/users/{user_id}/second-factor",
            name="remove_lost_second_factor",
            summary="Remove a second factor that somebody has lost; all their sessions end.",
            handler=routes.remove_lost, answers={204: None}, errors=(409,),
            who=Access.SUPERUSER, tag="identity",
        ),
    )  # fmt: skip
