"""The operation table, which routes, guards and documents the API."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from string import Formatter
from typing import Any, Generic

from attrs import Factory, field, frozen
from typing_extensions import TypeVar

from workbell.domain.errors import StaleVersion, WorkbellError
from workbell.domain.identity.actor import Actor, ClientInfo
from workbell.domain.identity.user import KeyScope
from workbell.domain.rate_limits.policy import Route

# Response classes use `slots=False`: the JSON writer preserves the field order
# of a `__dict__`, but sorts slots by name.

JSON = "application/json"
PROBLEM = "application/problem+json"
BodyT_co = TypeVar("BodyT_co", default=object, covariant=True)
QueryT_co = TypeVar("QueryT_co", default=object, covariant=True)


class Access(StrEnum):
    """
    Callers that an operation admits.

    SELF admits unverified users to their own account. The setting
    REQUIRE_VERIFIED_EMAIL decides whether USER and VERIFIED require a verified
    email address.
    """

    ANYONE = "anyone"
    SELF = "self"
    USER = "user"
    VERIFIED = "verified"
    SUPERUSER = "superuser"


class Style(StrEnum):
    """Conventions of an operation: canonical, or those of a compatibility API."""

    CANONICAL = "canonical"
    INSIGHTHUB = "InsightHub"
    LEARNFLOW = "LearnFlow"
    DATAMANAGER = "DataManager"
    JOB_PROCESSING = "Job Processing"


class VersionExcluded(StaleVersion):
    """The object has a version that `If-None-Match` excludes."""

    code = "version_excluded"

    @property
    def detail(self) -> str:
        """The message for the user."""
        return f"If-None-Match excludes version {self.version}, which the object has."


@frozen(kw_only=True)
class ApiRequest(Generic[BodyT_co, QueryT_co]):
    """
    A validated request, as a handler receives it.

    Handlers declare the classes they read: `ApiRequest[NewJob]` for a body,
    `ApiRequest[object, JobQuery]` for a query, `ApiRequest` for neither.

    Attributes:
        ids: Path parameters that are positive integers.
        names: All other path parameters.
        url: Address without the query string.
        parameters: Query parameters as sent.
        content: The body as received; empty if the operation takes none.
        headers: Returns the value of a header by name, or None.
        versions: Versions that `If-Match` accepts; None accepts any.
        excluded: Versions that `If-None-Match` excludes; None excludes any.
    """

    actor: Actor
    client_info: ClientInfo
    ids: Mapping[str, int]
    names: Mapping[str, str]
    body: BodyT_co
    query: QueryT_co
    url: str
    parameters: Mapping[str, str]
    style: Style
    accept: str
    token: str
    headers: Callable[[str], str | None]
    content: bytes = b""
    idempotency_key: str | None = None
    versions: frozenset[int] | None = None
    excluded: frozenset[int] | None = frozenset()

    def expected_version(self, current: int) -> int | None:
        """
        Return the version to require, given the stored one; None requires none.

        Raises:
            VersionExcluded: `If-None-Match` excludes the stored version.
        """
        if self.excluded is None or current in self.excluded:
            raise VersionExcluded(current)
        if self.versions is None or current in self.versions:
            return None if self.versions is None else current
        return max(self.versions, default=0)


@frozen(kw_only=True)
class ApiResponse:
    """
    The response of a handler.

    The body is serialized to JSON, except that bytes and iterators of bytes
    are sent unchanged. `cookie` is the value of a Set-Cookie header.
    """

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = Factory(dict[str, str])
    media_type: str = JSON
    cookie: str = field(default="", repr=False)


Handler = Callable[[ApiRequest[BodyT_co, QueryT_co]], ApiResponse]


@frozen
class ListOf:
    """
    A list response: paged, with cursors (`history`), or a `plain` array.

    Searches of a `windowed` list may be limited to its newest entries.

    With `or_one`, the response to a request with one object is one object.
    `example` is for the documentation pages, which cannot compose one then.
    """

    item: type
    plain: bool = False
    history: bool = False
    windowed: bool = False
    or_one: bool = False
    example: Any = field(default=None, eq=False)


def is_integer_parameter(name: str) -> bool:
    """Whether a path parameter is a positive integer, by its name."""
    return name.endswith(("_id", "_num"))


@frozen(kw_only=True)
class AnyOperation:
    """
    One HTTP method at one path, with its access rule, inputs and responses.

    Declare an `Operation` or a `PartialOperation`, which check the handler's
    types against the declared classes.

    Attributes:
        exists: Raises NotFound if the target does not exist; called before
            the body is read, so that a missing target is always a 404.
        request: The class of the body, or `dict` for any JSON object.
        optional: The body may be omitted, which means an empty object.
        example: Example of the body, where documentation pages cannot compose one.
        max_batch: If not 0, the body may also be an array of at most this many
            objects, and is then a sequence.
        max_body_bytes: Limit of the body, if it is lower than the general one.
        required: Fields that the body of a partial operation must have.
        statuses: Error statuses that differ from the default of their class.
        read_only: A method other than GET that changes nothing.
        discloses_accounts: The response reveals whether an account exists.
        no_api_key: API keys are rejected.
        allowed_while_enrolling: Open to users who must add a second factor.
        limit: Rate limit to apply instead of the default one.
    """

    method: str
    path: str
    name: str
    summary: str
    handler: Handler[Any, Any]
    tag: str
    access: Access = Access.USER
    style: Style = Style.CANONICAL
    request: type | None
    partial: bool = field(default=False, init=False)
    optional: bool = False
    max_batch: int = 0
    example: Any = None
    max_body_bytes: int | None = None
    required: Sequence[str] = ()
    query: type | None = None
    responses: Mapping[int, type | ListOf | None] = Factory(lambda: {200: None})
    media_types: Sequence[str] = (JSON,)
    errors: Sequence[int] = ()
    statuses: Mapping[type[WorkbellError], int] = Factory(dict[type[WorkbellError], int])
    exists: Callable[[ApiRequest], object] | None = None
    idempotent: bool = False
    etag: bool = False
    read_only: bool = False
    discloses_accounts: bool = False
    no_api_key: bool = False
    allowed_while_enrolling: bool = False
    documented: bool = True
    limit: Route | None = None
    path_names: tuple[str, ...] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Parse the names of the path parameters."""
        names = tuple(name for _, name, *_ in Formatter().parse(self.path) if name)
        object.__setattr__(self, "path_names", names)

    @property
    def key_scope(self) -> KeyScope | None:
        """The lowest API key scope that is accepted; None rejects API keys."""
        if self.no_api_key:
            return None
        if self.access is Access.SUPERUSER:
            return KeyScope.ADMIN
        return KeyScope.READ if self.method == "GET" or self.read_only else KeyScope.WRITE

    @property
    def by_cookie(self) -> bool:
        """Whether a browser session cookie is accepted; canonical routes only."""
        return self.style is Style.CANONICAL and self.access is not Access.ANYONE

    @property
    def route(self) -> Route:
        """
        The rate limits that apply.

        Anonymous operations with a body get the sign-in limits; anonymous
        operations without one (health, documentation) are exempt.
        """
        if self.limit is not None:
            return self.limit
        if self.access is not Access.ANYONE:
            return Route.GENERAL
        return Route.SIGN_IN if self.request else Route.EXEMPT

    @property
    def error_statuses(self) -> tuple[int, ...]:
        """Every error status that the operation may return."""
        statuses = {400, *self.errors, *self.statuses.values()}
        if self.access is not Access.ANYONE:
            statuses |= {401, 403}
        if self.path_names:
            statuses.add(404)
        if self.request:
            statuses |= {413, 415}
        if self.route is not Route.EXEMPT:
            statuses.add(429)
        if self.etag and self.method != "GET":
            statuses.add(412)
        return tuple(sorted(statuses))


@frozen(kw_only=True)
class Operation(AnyOperation, Generic[BodyT_co, QueryT_co]):
    """An operation whose handler reads the declared body and query."""

    handler: Handler[BodyT_co, QueryT_co]
    request: type[BodyT_co] | None = None
    query: type[QueryT_co] | None = None


@frozen(kw_only=True)
class PartialOperation(AnyOperation):
    """
    An operation that changes some fields of the request class.

    The handler receives the JSON object as sent; the service merges it with
    the stored state and validates the result.
    """

    handler: Handler[Mapping[str, Any], object]
    request: type
    partial: bool = field(default=True, init=False)


def group_by_path(operations: Iterable[AnyOperation]) -> dict[str, dict[str, AnyOperation]]:
    """
    Return the operations by path and method.

    Raises:
        ValueError: Two operations share method and path, or a name.
    """
    by_path: dict[str, dict[str, AnyOperation]] = {}
    names: set[str] = set()
    for operation in operations:
        methods = by_path.setdefault(operation.path, {})
        if operation.method in methods or operation.name in names:
            raise ValueError(f"Operation {operation.name} is declared twice: {operation.path}")
        names.add(operation.name)
        methods[operation.method] = operation
    return by_path
