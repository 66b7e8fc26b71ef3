"""Plain words: docstrings, comments, texts and documents avoid what the style bans."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
CODE = sorted(
    path.relative_to(ROOT)
    for folder in ("src", "tests", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
    if ".venvs" not in path.parts and path != Path(__file__)
)
DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for pattern in (
        "*.md",
        "docs/**/*.md",
        "docs/**/*.csv",
        "deploy/**/*",
        ".env.example",
        "Makefile",
    )
    for path in ROOT.glob(pattern)
    if path.is_file()
)

BANNED = {
    # unnamed actors: name the client, caller, worker, process, owner, row
    "unnamed actor": r"\b(whoever|whichever|whatever|somebody|nobody)\b",
    "'who' as a subject": r"(?:^|[.;:,(] |\b(?:for|of|to|by|that|and|or|but) )who (?!are you)\w+",
    "'what' as a subject": r"(?:^|[.;:] )what (?:is|was|has|may|can|goes|comes|waits|runs|a|an|the)\b(?![^.]*\?)",
    # metaphors
    "metaphor": (
        r"\b(houses?|floors?|walls?(?![ -](?:clock|time))|rooms?|doors?|meetings?|bells?"
        r"|books?|lanes?|faces?)\b"
    ),
    "letter, for an email": r"\b(?:a|the|one|each|this|that|its|his|her|no|another) letter\b",
    # everyday verbs for data and control
    "everyday verb": (
        r"\b(heed(?:s|ed|ing)?|told|tells?|kept|stands|lies"
        r"|comes? (?:to|round)|makes? way|lets? go|let go|keeps? off|hang(?:s)? up)\b"
    ),
    "'have X do Y'": r"^Have (?:a|an|the|every|each|all|its|one)\b",
    # archaic or literary English
    "archaic": (
        r"\b(anew|meanwhile|in vain|so many|in short|once and for all|thereof|hence|hereby"
        r"|whence|therein|but for)\b"
    ),
    "'for' as 'because'": r", for (?:it|they|this|that|these|those|there|both|nothing|none)\b",
    "'so that ... not' chain": r"\bso that\b[^.;:]*\b(?:not|no|never|nothing)\b",
    "a letter in place of a product": r"(?-i:\b[Ss]ources? [A-E]\b)",
}
PATTERNS = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in BANNED.items()}


def texts_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of each docstring, comment, sentence and test name in a file."""
    source = (ROOT / path).read_text(encoding="utf-8")
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, documented) and (text := ast.get_docstring(node)):
            yield (node.body[0].lineno, text)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield (node.lineno, node.name[5:].replace("_", " "))
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and (
                path.parts[0] == "src"
                and " " in node.value.strip()
                and not _is_statement(node.value)
            )
        ):
            yield (node.lineno, node.value)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield (token.start[0], token.string.lstrip("# "))


def _is_statement(text: str) -> bool:
    return (
        re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH|CREATE|PRAGMA|SET|<)\b", text) is not None
    )


def sentences_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield each line of a document; code blocks are code and are left out."""
    fenced = False
    for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield (number, re.sub(r"`[^`]*`", "`code`", line))


def problems_of(path: Path) -> list[str]:
    """Return each banned word or construction of a file, with its place."""
    texts = texts_of(path) if path.suffix == ".py" else sentences_of(path)
    return sorted(
        {
            f"{path}:{number}: {name}: {match.group(0)!r}"
            for number, text in texts
            for name, pattern in PATTERNS.items()
            for match in pattern.finditer(text)
        }
    )


@pytest.mark.parametrize("path", CODE, ids=str)
def test_code_speaks_plain_english(path: Path) -> None:
    """Actors have names, verbs are the field's, and there are no metaphors."""
    assert problems_of(path) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_documents_speak_plain_english(path: Path) -> None:
    """The same words are refused in documents."""
    assert problems_of(path) == []


@pytest.mark.parametrize(
    "sentence",
    [
        "Whoever asks is told.",
        "Who asks may not do this.",
        "Have a method called again.",
        "The house closes its doors.",
        "It is kept for a day.",
        "Rows are locked so that no other process claims them.",
        "Refused, for it is too long.",
        "The routes of source A.",
    ],
)
def test_banned_sentences_are_found(sentence: str) -> None:
    """The patterns find what the style guide shows as bad."""
    assert any(pattern.search(sentence) for pattern in PATTERNS.values())
