"""Names: unique classes, and words of the field."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

SOURCE = Path(__file__).parents[2] / "src"


def test_public_class_names_are_unique() -> None:
    """Readers search by name, and OpenAPI puts every schema under its class name."""
    places: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path.relative_to(SOURCE)))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


BANNED = {
    "anew", "bell", "bells", "book", "books", "door", "doors", "face", "faces", "heed",
    "house", "kept", "lane", "lanes", "letter", "letters", "lies", "meeting", "nobody",
    "room", "somebody", "stands", "told", "whichever", "who", "whoever", "whose",
}  # fmt: skip
"""Metaphors, unnamed actors and everyday verbs; documents may not use them either."""


def _names(path: Path) -> Iterator[str]:
    """Yield the names that a file defines: classes, functions, parameters, variables."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name
            case ast.arg():
                yield node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr


def test_names_use_words_of_the_field() -> None:
    found = {
        f"{path.relative_to(SOURCE)}: {name}"
        for path in sorted(SOURCE.rglob("*.py"))
        for name in _names(path)
        if BANNED & set(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().split("_"))
    }
    assert found == set()


def test_log_events_are_snake_case() -> None:
    """So that one search finds an event of every process."""
    events = {
        f"{path.relative_to(SOURCE)}: {ast.unparse(node.args[0])}"
        for path in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and re.fullmatch(
            r"(self\.)?_?log\.(debug|info|warning|error|exception|critical)", ast.unparse(node.func)
        )
    }
    assert len(events) > 20
    assert {event for event in events if not re.search(r": '[a-z0-9_]+'$", event)} == set()
