"""Documentation pages: schema, Swagger UI and ReDoc, from the package."""

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import falcon
from attrs import field, frozen

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
_LEADS_TO_DOCS = ("/", "/admin", "/monitor")


@frozen
class StaticContent:
    """Bytes that do not change while this release runs, with their ETag."""

    data: bytes
    media_type: str
    tag: str

    @classmethod
    def of(cls, data: bytes, media_type: str) -> "StaticContent":
        """Return the bytes with the tag that their content gives."""
        return cls(data, media_type, f'"{sha256(data).hexdigest()[:32]}"')

    def answer(self, headers: Mapping[str, str]) -> ApiResponse:
        """Return them whole; whoever has them already is told so by the face."""
        return ApiResponse(
            body=self.data,
            media_type=self.media_type,
            headers={"ETag": self.tag, "Cache-Control": CACHED, **headers},
        )


@frozen
class Docs:
    """Schema, viewers and their files; 3 MB of files are read when one is asked for."""

    schema: StaticContent
    pages: Mapping[str, StaticContent]
    static: Mapping[str, Traversable] = field(repr=False)

    @classmethod
    def of(cls, schema: bytes, title: str) -> "Docs":
        """Return the documentation of a schema."""
        pages = {
            viewer: StaticContent.of(_page(viewer, title).encode(), HTML) for viewer in _VIEWERS
        }
        return cls(StaticContent.of(schema, JSON), pages, _static_files())

    def show_schema(self, call: ApiRequest) -> ApiResponse:
        """Return the schema; JSON is YAML too (YAML 1.2), so one text serves both."""
        wants_yaml = "yaml" in call.accept and JSON not in call.accept
        answer = self.schema.answer({"Vary": "Accept"})
        return ApiResponse(
            body=answer.body,
            media_type=YAML if wants_yaml else JSON,
            headers=answer.headers,
        )

    def show_page(self, viewer: str, _: ApiRequest) -> ApiResponse:
        """Return a viewer's page."""
        return self.pages[viewer].answer({"Content-Security-Policy": CSP})

    def show_file(self, call: ApiRequest) -> ApiResponse:
        """
        Return a file of a viewer; only names that were there at the start exist.

        Raises:
            HTTPNotFound: There is no such file.
        """
        name = "/".join(call.names[part] for part in ("name", "file") if part in call.names)
        if (file := self.static.get(name)) is None:
            raise falcon.HTTPNotFound
        return StaticContent.of(file.read_bytes(), MEDIA_TYPES[Path(name).suffix]).answer({})


def operations(docs: Docs) -> Sequence[AnyOperation]:
    """Return the operations that show the documentation."""
    free: dict[str, Any] = {"method": "GET", "who": Access.ANYONE, "tag": "operations"}
    hidden = {**free, "documented": False, "media": ("*/*",)}
    pages = [
        Operation(
            path=path, name=f"show{path.replace('/', '_').replace('-', '_')}",
            summary="Show the documentation.", handler=partial(docs.show_page, viewer), **hidden,
        )
        for path, viewer in _PAGES.items()
    ]  # fmt: skip
    leads = [
        Operation(
            path=path, name=f"lead_from_{path.strip('/') or 'root'}", summary="Lead to the docs.",
            handler=_lead, **hidden,
        )
        for path in _LEADS_TO_DOCS
    ]  # fmt: skip
    return (
        Operation(
            path="/api/schema", name="get_schema", summary="Show the OpenAPI document.",
            handler=docs.show_schema, media=(JSON, YAML), **free,
        ),
        *pages,
        *leads,
        Operation(
            path=f"{STATIC}/{{name}}", name="get_static_file", summary="Show a file.",
            handler=docs.show_file, **hidden,
        ),
        Operation(
            path=f"{STATIC}/{{name}}/{{file}}", name="get_static_file_of", summary="Show a file.",
            handler=docs.show_file, **hidden,
        ),
    )  # fmt: skip


def _lead(_: ApiRequest) -> ApiResponse:
    return ApiResponse(status=302, headers={"Location": "/api/docs/"}, media_type=HTML, body=b"")


def _page(viewer: str, title: str) -> str:
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
    return dict(_walk(root))


def _walk(folder: Traversable, prefix: str = "") -> Sequence[tuple[str, Traversable]]:
    found: list[tuple[str, Traversable]] = []
    for entry in folder.iterdir():
        name = f"{prefix}{entry.name}"
        found += _walk(entry, f"{name}/") if entry.is_dir() else [(name, entry)]
    return found
