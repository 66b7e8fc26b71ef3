"""Highlights."""

import re
from html import unescape
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbell.domain.search.highlight import highlight
from workbell.domain.search.query import parse_query
from workbell.domain.search.tokens import tokenize


@pytest.mark.parametrize(
    ("text", "query", "marked"),
    [
        ("Fix the login page", "login", "Fix the <mark>login</mark> page"),
        ("Fix the login page", "the login", "Fix <mark>the</mark> <mark>login</mark> page"),
        ("Fix the login page", '"the login"', "Fix <mark>the login</mark> page"),
        ("login page", "log* pag", "<mark>login</mark> page"),
        ("Fix the login page", "fix -login", "<mark>Fix</mark> the login page"),
        ("a-b, a b", "a-b", "<mark>a-b</mark>, <mark>a b</mark>"),
        (
            "u\u0308ber Straße ﬁn",
            "über strasse fin",
            "<mark>u\u0308ber</mark> <mark>Straße</mark> <mark>ﬁn</mark>",
        ),
        (
            "\u1112\u1161\u11ab\u1100\u116e\u11a8!",
            "한국",
            "<mark>\u1112\u1161\u11ab\u1100\u116e\u11a8</mark>!",
        ),
        ("東京都の天気", "京都の", "東<mark>京都の</mark>天気"),
        ("東京都の天気", "都", "東京<mark>都</mark>の天気"),
        ("<b>bold</b> & more", "bold", "&lt;b&gt;<mark>bold</mark>&lt;/b&gt; &amp; more"),
        (
            "<script>alert(1)</script>",
            "script",
            "&lt;<mark>script</mark>&gt;alert(1)&lt;/<mark>script</mark>&gt;",
        ),
        ("a <mark>b</mark> c", "c", "a &lt;mark&gt;b&lt;/mark&gt; <mark>c</mark>"),
        ('say "amp" &amp;', "amp", "say &quot;<mark>amp</mark>&quot; &amp;<mark>amp</mark>;"),
        ("nothing", "", "nothing"),
        ("nothing", "-x", "nothing"),
    ],
)
def test_matches_are_marked(text: str, query: str, marked: str) -> None:
    assert highlight(text, parse_query(query)) == marked


def test_a_long_text_is_cut_around_its_first_match() -> None:
    text = "foo bar " * 40 + "needle" + " baz qux" * 40
    shown = highlight(text, parse_query("needle"), max_length=60)
    assert shown.startswith("…") and shown.endswith("…")
    assert "<mark>needle</mark>" in shown
    assert len(re.sub("<[^>]*>|…", "", shown)) <= 60
    assert highlight(text, parse_query("missing"), max_length=20) == text[:20] + "…"
    assert highlight("short", parse_query("short"), max_length=20) == "<mark>short</mark>"


def test_matches_outside_the_shown_part_are_not_marked() -> None:
    shown = highlight("needle " + "foo bar " * 40 + "needle", parse_query("needle"), max_length=30)
    assert shown.count("<mark>needle</mark>") == 1
    assert shown.endswith("…")


def test_overlapping_matches_are_marked_once() -> None:
    assert highlight("fünf", parse_query("fünf fün*")) == "<mark>fünf</mark>"


@given(st.text(max_size=80), st.text(max_size=20), st.none() | st.integers(1, 100))
def test_a_highlight_is_inert_and_shows_the_text(text: str, query: str, length: int | None) -> None:
    shown = highlight(text, parse_query(query), max_length=length)
    plain = shown.replace("<mark>", "").replace("</mark>", "")
    assert not set("<>\"'") & set(plain)
    assert shown.count("<mark>") == shown.count("</mark>")
    assert length is not None or unescape(plain) == text


@given(st.text(min_size=1, max_size=40))
def test_a_text_is_marked_by_its_own_tokens(text: str) -> None:
    tokens = tokenize(text)
    if tokens:
        assert "<mark>" in highlight(text, parse_query(f'"{tokens[0]}"'))


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("[" * 10_000, "["),
        ("a " * 10_000, '"' + "a " * 400 + 'b"'),
        ("字" * 20_000, "字" * 400 + "b"),
        ("u\u0308 " * 10_000, '"' + "ü " * 400 + 'b"'),
        ("a" + "\u0301" * 20_000, "a*"),
        ("<" * 100_000, "x"),
    ],
)
def test_the_work_is_bounded(text: str, query: str) -> None:
    parsed = parse_query(query)
    start = process_time()
    highlight(text, parsed)
    assert process_time() - start < 0.5


@given(
    st.text("aAbzZ q_-1.", max_size=60),
    st.lists(st.text("abzq1", min_size=1, max_size=3), min_size=1, max_size=3),
    st.sampled_from(["{} {}", "{}*", '"{} {}"', "{}-{}*", "{}"]),
)
def test_the_pattern_marks_what_the_tokens_mark(text: str, words: list[str], form: str) -> None:
    query = parse_query(form.format(*[*words, *words]))
    # a character that is no ASCII lets the text be split into tokens
    assert highlight(text + " é", query) == highlight(text + " e", query)[:-1] + "é"
