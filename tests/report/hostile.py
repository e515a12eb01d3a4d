"""Texts that would act on a terminal, a page or a CI runner, and what no output may hold."""

from __future__ import annotations

import unicodedata

from hypothesis import strategies as st

HOSTILE = (
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "\x9b31m\x85\x90",
    "bell\x07 back\b\b\b del\x7f nul\x00",
    "line\nbreak\r\nreturn\rtab\tff\x0cvt\x0b",
    "\u2028line\u2029paragraph",
    "\u202eevil\u202c \u2066isolate\u2069 \u200fmark \u061cletter",
    "zero\u200bwidth\u200c\u200d\ufeff\u2060 soft\u00adhyphen",
    "tag\U000e0041\U000e007f selector\U000e0100\ufe00 filler\u3164\u115f",
    "lone \ud800 surrogate \udfff",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "</summary></details><b>out</b>",
    "</code></pre></style></title><svg/onload=alert(1)>",
    "<!-- comment --> <?php ?> <![CDATA[x]]> &lt;b&gt; &#60;b&#62;",
    "javascript:alert(1) onclick=alert(1) \" ' ' onmouseover=x",
    "[link](http://evil.example) ![image](http://evil.example/x.png) <http://evil.example>",
    "[link]: http://evil.example [link] https://evil.example www.evil.example a@evil.example",
    "@octocat @org/team #1 GH-1 owner/repo#1 da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "# heading", "## heading #", "- item", "+ item", "* item", "1. item", "1) item", "> quote",
    "---", "===", "***", "___", "```", "~~~", "````diff", "    indented", "| a | b |", "a \\| b", "a\\", "\\",
    "`code` ``two`` `", "`", "`` ` ``", "``` a ```", "*em* **strong** _em_ ~~gone~~ :tada: $x$ ^[foot]",
    "[bold red]rich[/bold red] [/] [link=http://evil.example]x[/link]",
    "{{ 7*7 }} {% raw %} ${{ github.token }}",
    "::error file=x::injected", "::stop-commands::x", "  ::set-output name=a::b", "##[error]x",
    "a##[add-mask]b",
    "100%25 %0A%0D::error::x",
    "weiß ö 日本語 😀 עברית العربية ❤️",
    " ", "", "\u00a0", "   leading and trailing   ",
)  # fmt: skip

PREVENTED = "\u034f\u115f\u1160\u3164\uffa0\ufe00"


def offenders(text: str) -> set[str]:
    """The characters of an output that nobody sees or that act; a line feed is the output's own."""
    acting = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    found = {letter for letter in text if unicodedata.category(letter) in acting or letter in PREVENTED}
    return found - {"\n"}


def texts() -> st.SearchStrategy[str]:
    """Hostile texts, mixtures of them, and any text whatever."""
    any_text = st.text(st.characters(), max_size=30)
    some = st.sampled_from(HOSTILE)
    marks = st.text("`|\\*_[]()<>&#@!~:-+=. \n\tax19", max_size=24)
    return st.one_of(some, any_text, marks, st.tuples(some, marks, any_text).map("".join))
