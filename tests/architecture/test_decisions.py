"""Decision records are few, numbered without gaps, and of one form."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "decisions"
RECORDS = sorted(path for path in FOLDER.iterdir() if path.name != "index.md")
MAX_RECORDS = 25
MAX_LINES = 60
REQUIRED = ["Status", "Context", "Decision", "Consequences"]


def title_of(record: Path) -> str:
    """Return the text of the first line, without its `# `."""
    return record.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def file_name_of(number: int, title: str) -> str:
    """Return the file name of a record: its number, and its title as a slug."""
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    return f"{number:04}-{slug}.md"


def test_there_are_at_most_twenty_five_records() -> None:
    assert 0 < len(RECORDS) <= MAX_RECORDS


def test_records_are_numbered_without_gaps_and_named_by_their_titles() -> None:
    assert [record.name for record in RECORDS] == [
        file_name_of(number, title_of(record)) for number, record in enumerate(RECORDS, 1)
    ]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_a_record_has_its_sections_in_order(record: Path) -> None:
    """`Measured` is optional and comes last; every section has text."""
    text = record.read_text(encoding="utf-8")
    first, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    headings = [section.partition("\n")[0] for section in sections]
    assert re.fullmatch(r"# \S.*\n\n", first)
    assert headings in (REQUIRED, [*REQUIRED, "Measured"])
    assert all(section.partition("\n")[2].strip() for section in sections)
    assert len(text.splitlines()) <= MAX_LINES


def test_the_index_lists_each_record_with_number_title_and_status() -> None:
    index = (FOLDER / "index.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (\d{4}) \| \[(.+?)\]\((.+?)\) \| (\w+) \| \S.* \|$", index, re.MULTILINE
    )
    assert rows == [
        (record.name[:4], title_of(record), record.name, status_of(record)) for record in RECORDS
    ]


def status_of(record: Path) -> str:
    """Return the first word of the section Status."""
    match = re.search(r"^## Status\n\n(\w+)", record.read_text(encoding="utf-8"), re.MULTILINE)
    assert match is not None
    return match[1]
