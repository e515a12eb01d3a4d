"""Hostile text is inert in every format: nothing acts, nothing is hidden, and our own structure stays."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from audiencesync.action import Action, Outcome, Reason, Status, Unmanaged, Verb
from audiencesync.report import (
    documents,
    escape,
    github,
    html,
    markdown,
    outcomes,
    plans,
    problems,
    sarif,
    text,
)
from audiencesync.report.page import Code, Fold, Heading, Page, Span, Table, Text, Tone, code, line
from audiencesync.source import Location, Problem
from audiencesync.sql.preview import Estimate
from tests.report.hostile import HOSTILE, offenders, texts
from tests.report.plans import hostile, hostile_report, mixed, of, report
from tests.shop import audience, desired, ours, stranger

BROWSER_TAGS = {"details", "summary", "code", "b"}
MENTION = re.compile(r"(?<![\w/])@[\w-]|(?<!\w)#\d|\bGH-\d|https?:|www\.|\w@\w|\b[0-9a-f]{7,40}\b|:[a-z]+:")


def page_of(hostile_text: str) -> Page:
    """A page with the text in every kind of block."""
    both = line(hostile_text, code(hostile_text), "and", Span(hostile_text, Tone.ERROR), code(hostile_text))
    return (
        Heading(both),
        Text((both, line(hostile_text), line(code(hostile_text)))),
        Text((both,), box=Tone.WARNING),
        Table(("name", hostile_text), ((both, line(hostile_text)), (line(code(hostile_text)), both))),
        Code(hostile_text),
        Fold(both, (Text((line(hostile_text),)), Table(("a",), ((both,),)))),
        Text((line(hostile_text),), summary=True),
    )


def rendered(source: str) -> list[Token]:
    return MarkdownIt("commonmark", {"html": True}).enable("table").parse(source)


def check_markdown(source: str) -> None:
    assert not offenders(source)
    prose: list[str] = []
    for token in rendered(source):
        assert token.type not in {"bullet_list_open", "ordered_list_open", "code_block", "hr"}
        if token.type == "html_block":
            check_tags(token.content, BROWSER_TAGS)
            prose.append(re.sub(r"<code>.*?</code>", " ", token.content))
        for child in token.children or ():
            assert child.type in {
                "text",
                "code_inline",
                "html_inline",
                "softbreak",
                "hardbreak",
                "text_special",
            }
            if child.type == "html_inline":
                assert child.content in {"<b>", "</b>"}
            elif child.type.startswith("text"):
                prose.append(child.content)
    for each in prose:
        plain = re.sub(r"\[!(NOTE|CAUTION|WARNING)\]", "", re.sub(r"<[^>]*>|&#x27;|&quot;", "", each))
        assert not MENTION.search(plain), plain


class Tags(HTMLParser):
    """Every tag with its attributes, and whether all are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, Any]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check_tags(source: str, allowed: set[str]) -> Tags:
    tags = Tags()
    try:
        tags.feed(source)
    except IndexError:  # the end of a fold that an earlier block opened
        assert source.strip() == "</details>"
    for tag, attributes in tags.found:
        assert tag in allowed, source
        assert allowed is not BROWSER_TAGS or not attributes
    return tags


def check_html(source: str) -> None:
    assert not offenders(source)
    allowed = {
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "h1",
        "h2",
        "div",
        "p",
        "span",
        "code",
        "pre",
    }
    allowed |= {"details", "summary", "table", "thead", "tbody", "tr", "th", "td"}
    tags = check_tags(source, allowed)
    assert tags.open == []
    kinds = {tag for tag, _ in tags.found}
    assert sum(tag == "style" for tag, _ in tags.found) == 1
    assert "meta" in kinds
    for tag, attributes in tags.found:
        assert attributes.keys() <= {"class", "charset", "http-equiv", "content", "name", "lang", "open"}, tag
        assert re.fullmatch(r"[a-z -]*", attributes.get("class") or "")


def check_text(source: str) -> None:
    assert not offenders(source)
    for each in source.split("\n"):
        assert not each.lstrip().startswith("::")
        assert "##[" not in each


@given(texts())
def test_a_page_of_hostile_text_is_inert_everywhere(hostile_text: str) -> None:
    page = page_of(hostile_text)
    check_text(text.render(page, width=80, colour=False))
    check_markdown(markdown.render(page))
    check_html(html.render(page))


@pytest.mark.parametrize("hostile_text", HOSTILE)
def test_a_plan_about_hostile_audiences_is_inert_everywhere(hostile_text: str) -> None:
    plan = hostile(hostile_text)
    page = plans.page(plan, words=True, previews=hostile_report(hostile_text), verbose=True)
    check_text(text.render(page, width=80, colour=False))
    check_markdown(markdown.render(page))
    check_html(html.render(page))
    check_json(documents.dump(plans.document(plan, previews=hostile_report(hostile_text))), hostile_text)


def check_json(source: str, said: str) -> None:
    assert source.isascii()
    assert not offenders(source)
    assert "##[" not in source
    assert said in set(_texts(json.loads(source))) or not said.strip()


def _texts(data: Any) -> Any:
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict | list):
        for each in [*data, *data.values()] if isinstance(data, dict) else data:
            yield from _texts(each)


@given(texts())
def test_problems_are_inert_and_stay_one_a_line(hostile_text: str) -> None:
    place = Location(f"{hostile_text}.yaml", 1, 3)
    found = [Problem(place, "some-rule", hostile_text, help=f"{hostile_text}\nmore")] * 2
    check_text(problems.text(found, {place.path: hostile_text}, colour=False))
    check_json(documents.dump(problems.document(found, 1)), hostile_text)
    check_json(documents.dump(sarif.document(found, (), "1.0", Reason("x", hostile_text))), "some-rule")
    lines = github.text(found).split("\n")
    assert len(lines) == 3
    for each in lines[:2]:
        assert not offenders(each)
        assert "##[" not in each
        head, properties, _ = re.fullmatch(
            r"::(error) (file=[^\n]*?,line=1,col=3,title=some-rule)::(.*)", each
        ).groups()  # type: ignore[union-attr]
        assert head == "error"
        assert properties.count("::") == 0
        assert properties.count(",") == 3


@given(texts())
def test_outcomes_are_inert(hostile_text: str) -> None:
    error = Reason("api", hostile_text)
    found = [
        Outcome(
            Action(Verb.ARCHIVE, hostile_text, hostile("x").actions[0].before), Status.FAILED, None, error
        )
    ]
    page = outcomes.page(found)
    check_text(text.render(page, width=80, colour=False))
    check_markdown(markdown.render(page))
    check_json(documents.dump(outcomes.document(found)), hostile_text)


@given(texts())
def test_inert_text_is_one_harmless_line_and_inert_stays_inert(hostile_text: str) -> None:
    shown = escape.inert(hostile_text)
    assert not offenders(shown)
    assert "\n" not in shown
    assert escape.inert(shown) == shown


def test_escapes_are_visible() -> None:
    assert escape.inert("a\x1b[0m\u202e\U000e0041\n\ud800##[x]") == (
        r"a\x1b[0m\u202e\U000e0041\n\ud800\x23#[x]"
    )
    assert escape.inert("weiß 日本語 \U0001f600 ❤\ufe0f a\\b") == "weiß 日本語 \U0001f600 ❤\ufe0f a\\b"


def test_huge_text_is_cut_with_a_note_in_every_format() -> None:
    huge = "x" * (10 * 1024 * 1024)
    before, after = audience("short"), audience("short", description=huge)
    plan = of([desired("long", after)], [ours(1, "long", before), stranger(2, audience(huge))])
    page = plans.page(plan, words=True)
    for shown in (text.render(page, width=80, colour=False), markdown.render(page), html.render(page)):
        assert shown.count("… (10,485,760 characters)") >= 2
        assert len(shown) < 20_000


LIMITS = st.sampled_from((1_000, 2_000, 5_000, 65_000))


@settings(max_examples=60)
@given(st.lists(texts(), min_size=1, max_size=30), LIMITS)
def test_markdown_keeps_its_limit_and_never_cuts_through_anything(many: list[str], limit: int) -> None:
    page = tuple(block for each in many for block in page_of(each))
    shown = markdown.render(page, limit)
    assert len(shown) <= limit
    tags = [token.content.split("\n")[0] for token in rendered(shown) if token.type == "html_block"]
    assert tags == ["<details>", "</details>"] * (len(tags) // 2)
    assert len(tags) // 2 <= sum(isinstance(block, Fold) for block in page)
    check_markdown(shown)


def test_a_shortened_plan_keeps_that_its_numbers_are_estimates() -> None:
    users = report(*(Estimate(action.key, 1, 2, 1, 0) for action in mixed().actions))
    shown = markdown.render(plans.page(mixed(), words=True, previews=users, verbose=True), 2_500)
    assert "too long to be shown" in shown
    for kept in ("An estimate from the event export", "As of `2026-11-20`", "After this plan: 7 of 100"):
        assert kept in shown


def test_a_plan_of_1500_audiences_fits_a_comment_and_says_what_is_left_out() -> None:
    plan = hostile("<b>@x `` | \x1b")
    many = tuple(Action(Verb.CREATE, f"key-{n}", after=plan.actions[0].after) for n in range(1_500))
    strangers = tuple(Unmanaged(f"properties/1000/audiences/{n}", "x" * 150, "") for n in range(1_500))
    big = plans.page(type(plan)(plan.policy, many, strangers), words=True, verbose=True)
    shown = markdown.render(big)
    assert 60_000 < len(shown) <= 65_000
    assert "too long to be shown" in shown
    assert shown.index("1,500 to create") < 300
    assert {f"key-{n}" for n in range(1_500)} == set(re.findall(r"key-\d+", shown))
    check_markdown(shown)


def test_the_page_has_a_strict_policy_that_lets_its_style_in() -> None:
    import base64
    import hashlib

    shown = html.render((Heading(line("x")),))
    style = re.search(r"<style>(.*?)</style>", shown, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in shown
    assert "http" not in re.sub(r"http-equiv", "", shown)
