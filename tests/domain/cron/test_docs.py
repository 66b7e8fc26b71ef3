"""The examples of docs/cron.md are correct."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from workbell.domain.cron.preview import preview
from workbell.domain.cron.rule import CronRule
from workbell.domain.errors import Invalid

pytestmark = pytest.mark.unit

PAGE = (Path(__file__).parents[3] / "docs" / "cron.md").read_text(encoding="utf-8")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def rows(title: str) -> list[list[str]]:
    """Return the cells of the table under a heading, without its header."""
    section = PAGE.split(f"## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in re.split(r"\|", line)[1:-1]] for line in lines]


@pytest.mark.parametrize(("line", "words", "following"), rows("Examples"))
def test_examples_are_true(line: str, words: str, following: str) -> None:
    shown = preview(CronRule(line.strip("`")), NOW, 1)
    assert (shown.words, f"{shown.runs[0].at:%Y-%m-%d %H:%M}") == (words, following)


@pytest.mark.parametrize(("line", "reason"), rows("What is refused"))
def test_refusals_are_true(line: str, reason: str) -> None:
    with pytest.raises(Invalid):
        CronRule(line.strip("`"))
    assert reason
