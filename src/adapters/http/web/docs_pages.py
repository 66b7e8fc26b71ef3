"""API documentation: the OpenAPI document, Swagger UI and ReDoc."""

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import falcon
from attrs import evolve, field, frozen

from workbell.adapters.http.web.operations import (
    JSON,
    Access,
    AnyOperation,
    ApiRequest,
    ApiResponse,
    Operation,
)

YAML = "application/yaml"
HTML = "text/html; charset=utf-8"
SCHEMA = "/api/schema/"
STATIC = "/api/static"
CACHED = "public, max-age=3600"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
MEDIA_TYPES: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
{head}
</head>
<body>
<div id="{id}" data-schema="{schema}"></div>
{scripts}
</body>
</html>
"""
_VIEWERS: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "swagger-ui": (
        ("page.css", "swagger-ui/swagger-ui.css"),
        ("swagger-ui/swagger-ui-bundle.js", "swagger-ui/start.js"),
    ),
    "redoc": (("page.css",), ("redoc/redoc.standalone.js", "redoc/start.js")),
}
_PAGES: Mapping[str, str] = {
    "/api/docs": "swagger-ui",
    "/api/schema/swagger-ui": "swagger-ui",
    "/api/redoc": "redoc",
    "/api/schema/redoc": "redoc",
}
_REDIRECTED = ("/", "/admin", "/monitor")


@frozen
class StaticContent:
    """Immutable content with its ETag."""

    data: bytes
    media_type: str
    tag: str

    @classmethod
    def from_bytes(cls, data: bytes, media_type: str) -> "StaticContent":
        """Return the content with an ETag from its SHA-256."""
        return cls(data, media_type, f'"{sha256(data).hexdigest()[:32]}"')

    def respond(self, headers: Mapping[str, str]) -> ApiResponse:
        """Return the full content; the dispatcher answers 304 on a matching ETag."""
        return ApiResponse(
            body=self.data,
            media_type=self.media_type,
            headers={"ETag": self.tag, "Cache-Control": CACHED, **headers},
        )


@frozen
class DocsRoutes:
    """The OpenAPI document, its viewers, and their files (read on request)."""

    schema: StaticContent
    pages: Mapping[str, StaticContent]
    static: Mapping[str, Traversable] = field(repr=False)

    @classmethod
    def from_schema(cls, schema: bytes, title: str) -> "DocsRoutes":
        """Return the documentation of an OpenAPI document."""
        pages = {
            viewer: StaticContent.from_bytes(_render_page(viewer, title).encode(), HTML)
            for viewer in _VIEWERS
        }
        return cls(StaticContent.from_bytes(schema, JSON), pages, _static_files())

    def show_schema(self, request: ApiRequest) -> ApiResponse:
        """Return the OpenAPI document; its JSON is also valid YAML 1.2."""
        wants_yaml = "yaml" in request.accept and JSON not in request.accept
        response = self.schema.respond({"Vary": "Accept"})
        return evolve(response, media_type=YAML if wants_yaml else JSON)

    def show_page(self, viewer: str, _: ApiRequest) -> ApiResponse:
        """Return a viewer's page."""
        return self.pages[viewer].respond({"Content-Security-Policy": CSP})

    def show_file(self, request: ApiRequest) -> ApiResponse:
        """
        Return a file of a viewer, from the list of files read at startup.

        Raises:
            HTTPNotFound: There is no such file.
        """
        name = "/".join(request.names[part] for part in ("name", "file") if part in request.names)
        if (file := self.static.get(name)) is None:
            raise falcon.HTTPNotFound
        return StaticContent.from_bytes(file.read_bytes(), MEDIA_TYPES[Path(name).suffix]).respond(
            {}
        )


def operations(docs: DocsRoutes) -> Sequence[AnyOperation]:
    """Return the operations that serve the documentation."""
    public: dict[str, Any] = {"method": "GET", "access": Access.ANYONE, "tag": "operations"}
    hidden = {**public, "documented": False, "media_types": ("*/*",)}
    pages = [
        Operation(
            path=path, name=f"show{path.replace('/', '_').replace('-', '_')}",
            summary="Get the documentation page.", handler=partial(docs.show_page, viewer),
            **hidden,
        )
        for path, viewer in _PAGES.items()
    ]  # fmt: skip
    redirects = [
        Operation(
            path=path, name=f"redirect_from_{path.strip('/') or 'root'}",
            summary="Redirect to the documentation.", handler=_redirect, **hidden,
        )
        for path in _REDIRECTED
    ]  # fmt: skip
    return (
        Operation(
            path="/api/schema", name="get_schema", summary="Get the OpenAPI document.",
            handler=docs.show_schema, media_types=(JSON, YAML), **public,
        ),
        *pages,
        *redirects,
        Operation(
            path=f"{STATIC}/{{name}}", name="get_static_file", summary="Get a static file.",
            handler=docs.show_file, **hidden,
        ),
        Operation(
            path=f"{STATIC}/{{name}}/{{file}}", name="get_viewer_file",
            summary="Get a static file of a viewer.", handler=docs.show_file, **hidden,
        ),
    )  # fmt: skip


def _redirect(_: ApiRequest) -> ApiResponse:
    return ApiResponse(status=302, headers={"Location": "/api/docs/"}, media_type=HTML, body=b"")


def _render_page(viewer: str, title: str) -> str:
    styles, scripts = _VIEWERS[viewer]
    return _PAGE.format(
        title=title,
        id=viewer,
        schema=SCHEMA,
        head="\n".join(f'<link rel="stylesheet" href="{STATIC}/{name}">' for name in styles),
        scripts="\n".join(f'<script src="{STATIC}/{name}"></script>' for name in scripts),
    )


@lru_cache(maxsize=1)
def _static_files() -> Mapping[str, Traversable]:
    root = files(__name__.rpartition(".")[0]) / "static"
    return dict(_list_files(root))


def _list_files(folder: Traversable, prefix: str = "") -> Sequence[tuple[str, Traversable]]:
    listed: list[tuple[str, Traversable]] = []
    for entry in folder.iterdir():
        name = f"{prefix}{entry.name}"
        listed += _list_files(entry, f"{name}/") if entry.is_dir() else [(name, entry)]
    return listed
