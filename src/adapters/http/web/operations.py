"""Operations: the one table that routes, guards and documents the API."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from string import Formatter
from typing import Any, Generic

from attrs import Factory, field, frozen
from typing_extensions import TypeVar

from workbell.domain.errors import WorkbellError
from workbell.domain.identity.actor import Actor, ClientInfo
from workbell.domain.identity.user import KeyScope
from workbell.domain.rate_limits.policy import Route

# Classes of answers are written by their `__dict__`, hence `slots=False`: the
# JSON writer keeps its order, while it takes slots in that of their names.

JSON = "application/json"
PROBLEM = "application/problem+json"
BodyT_co = TypeVar("BodyT_co", default=object, covariant=True)
QueryT_co = TypeVar("QueryT_co", default=object, covariant=True)


class Access(StrEnum):
    """
    Who may call an operation.

    SELF is for what unverified people need about themselves; of the other
    two, the setting REQUIRE_VERIFIED_EMAIL decides where it counts.
    """

    ANYONE = "anyone"
    SELF = "self"
    USER = "user"
    VERIFIED = "verified"
    SUPERUSER = "superuser"


class Style(StrEnum):
    """Which conventions an operation follows: the canonical ones or a compatibility API's."""

    CANONICAL = "canonical"
    INSIGHTHUB = "InsightHub"
    LEARNFLOW = "LearnFlow"
    DATAMANAGER = "DataManager"
    JOB_PROCESSING = "Job Processing"


@frozen(kw_only=True)
class ApiRequest(Generic[BodyT_co, QueryT_co]):
    """
    One request, as an operation's handler sees it.

    A handler names the classes that it reads: `Call[NewJob]` for a body,
    `Call[object, JobQuery]` for a query, `Call` for neither. `ids` are the positive integers and `names` the texts of the path; `url`
    is the address without its query, `parameters` the query as it was given.
    `versions` are those that `If-Match` would accept, None for any; `headers`
    returns any header by its name, for what only few handlers want to know.
    """

    actor: Actor
    origin: ClientInfo
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
    idempotency_key: str | None = None
    versions: frozenset[int] | None = None

    def version(self, current: int) -> int | None:
        """Return the version to insist on, given the one that stands."""
        if self.versions is None or current in self.versions:
            return None if self.versions is None else current
        return max(self.versions, default=0)


@frozen(kw_only=True)
class ApiResponse:
    """
    What a handler answers.

    The body is written as JSON, unless it is bytes or an iterator of pieces:
    those are sent as they are. `cookie` is the text of a Set-Cookie header.
    """

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = Factory(dict[str, str])
    media_type: str = JSON
    cookie: str = field(default="", repr=False)


Handler = Callable[[ApiRequest[BodyT_co, QueryT_co]], ApiResponse]


@frozen
class ListOf:
    """The answer type of a list: paged, or a plain array; `history` has cursors too."""

    item: type
    plain: bool = False
    history: bool = False


def is_number(name: str) -> bool:
    """Whether a path's parameter is a positive integer: an id, or a number of somebody's own."""
    return name.endswith(("_id", "_num"))


def _names(operation: "AnyOperation") -> tuple[str, ...]:
    return tuple(name for _, name, *_ in Formatter().parse(operation.path) if name)


@frozen(kw_only=True)
class AnyOperation:
    """
    One method at one path: who may, what it takes, what it answers.

    Declared as an `Operation` or a `PartialOperation`, which bind the handler
    to the classes that it reads.

    `exists` is asked before the body is read, so that what is not there is
    never judged by what was sent to it. An `optional` body may be left out, which is as good as an empty object. `statuses` are
    errors whose status differs from their family's. `reads` is for what changes
    nothing though it is no GET, `reveals` for what tells whether somebody has a
    name or an address, `keyless` for what no API key is good for, `enrols` for what is open to who must
    add a second factor first.
    """

    method: str
    path: str
    name: str
    summary: str
    handler: Handler[Any, Any]
    tag: str
    who: Access = Access.USER
    style: Style = Style.CANONICAL
    request: type | None
    partial: bool = field(default=False, init=False)
    optional: bool = False
    query: type | None = None
    answers: Mapping[int, type | ListOf | None] = Factory(lambda: {200: None})
    media: Sequence[str] = (JSON,)
    errors: Sequence[int] = ()
    statuses: Mapping[type[WorkbellError], int] = Factory(dict[type[WorkbellError], int])
    exists: Callable[[ApiRequest], object] | None = None
    idempotent: bool = False
    etag: bool = False
    reads: bool = False
    reveals: bool = False
    keyless: bool = False
    enrols: bool = False
    documented: bool = True
    limit: Route | None = None
    path_names: tuple[str, ...] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Find the path's parameters once."""
        object.__setattr__(self, "path_names", _names(self))

    @property
    def key_scope(self) -> KeyScope | None:
        """The scope that an API key needs at least, None where none will do."""
        if self.keyless:
            return None
        if self.who is Access.SUPERUSER:
            return KeyScope.ADMIN
        return KeyScope.READ if self.method == "GET" or self.reads else KeyScope.WRITE

    @property
    def by_cookie(self) -> bool:
        """Whether a browser's session serves as well as a token: on our own routes."""
        return self.style is Style.CANONICAL and self.who is not Access.ANYONE

    @property
    def route(self) -> Route:
        """
        Which limits it meets: those of signing in where anyone may send something.

        What anyone may only read, health and documentation, is exempt.
        """
        if self.limit is not None:
            return self.limit
        if self.who is not Access.ANYONE:
            return Route.GENERAL
        return Route.SIGN_IN if self.request else Route.EXEMPT

    @property
    def error_statuses(self) -> tuple[int, ...]:
        """The statuses of every error that it may answer."""
        found = {400, *self.errors, *self.statuses.values()}
        if self.who is not Access.ANYONE:
            found |= {401, 403}
        if self.path_names:
            found.add(404)
        if self.request:
            found |= {413, 415}
        if self.route is not Route.EXEMPT:
            found.add(429)
        if self.etag and self.method != "GET":
            found.add(412)
        return tuple(sorted(found))


@frozen(kw_only=True)
class Operation(AnyOperation, Generic[BodyT_co, QueryT_co]):
    """An operation whose handler reads a body and a query of the declared classes."""

    handler: Handler[BodyT_co, QueryT_co]
    request: type[BodyT_co] | None = None
    query: type[QueryT_co] | None = None


@frozen(kw_only=True)
class PartialOperation(AnyOperation):
    """
    An operation that changes some fields of the request class.

    The handler reads the body as the plain object that was sent; the service
    merges it with the present state, and checks the whole.
    """

    handler: Handler[Mapping[str, Any], object]
    request: type
    partial: bool = field(default=True, init=False)


def by_path(operations: Iterable[AnyOperation]) -> dict[str, dict[str, AnyOperation]]:
    """
    Return the operations by path and method.

    Raises:
        ValueError: Two have the same method and path, or the same name.
    """
    found: dict[str, dict[str, AnyOperation]] = {}
    names: set[str] = set()
    for operation in operations:
        at_path = found.setdefault(operation.path, {})
        if operation.method in at_path or operation.name in names:
            raise ValueError(f"{operation.name} is declared twice: {operation.path}")
        names.add(operation.name)
        at_path[operation.method] = operation
    return found
