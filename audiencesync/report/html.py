"""Page -> one self-contained HTML page: no script, no request, a strict content security policy."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import TYPE_CHECKING

from audiencesync.report.escape import VALUE_LIMIT, inert
from audiencesync.report.page import Code, Diff, Fold, Heading, Page, Table, Text, summary_first

if TYPE_CHECKING:
    from jinja2 import Template

STYLE = """
:root { color-scheme: light dark; --line: #d0d7de; --dim: #59636e; --add: #1a7f37; --remove: #cf222e;
  --change: #9a6700; --replace: #8250df; --adopt: #0969da; --soft: #f6f8fa; }
@media (prefers-color-scheme: dark) { :root { --line: #3d444d; --dim: #9198a1; --add: #3fb950;
  --remove: #f85149; --change: #d29922; --replace: #ab7df8; --adopt: #4493f8; --soft: #151b23; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; } p { margin: .3rem 0; }
code, pre { font: .9em/1.45 ui-monospace, monospace; }
pre { background: var(--soft); padding: .6rem .8rem; border-radius: .4rem; overflow-x: auto; }
.line { white-space: pre-wrap; }
details { border: 1px solid var(--line); border-radius: .4rem; margin: .6rem 0; padding: .4rem .8rem; }
summary { cursor: pointer; white-space: pre-wrap; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .2rem .8rem .2rem 0;
  border-bottom: 1px solid var(--line); vertical-align: top; } .number { text-align: right; }
.box { border-left: .3rem solid var(--line); padding: .2rem .8rem; margin: 1rem 0; background: var(--soft); }
.box-error { border-color: var(--remove); } .box-warning { border-color: var(--change); }
.strong { font-weight: 600; } .dim { color: var(--dim); } .add { color: var(--add); }
.remove { color: var(--remove); } .change, .warning { color: var(--change); }
.replace { color: var(--replace); } .adopt { color: var(--adopt); }
.error { color: var(--remove); font-weight: 600; }
"""

_TEMPLATE = """\
{%- macro words(spans) -%}
{%- for span in spans -%}
{%- if span.code %}<code class="{{ span.tone.value }}">{{ span.text | inert }}</code>
{%- else %}<span class="{{ span.tone.value }}">{{ span.text | inert }}</span>{% endif -%}
{%- endfor -%}
{%- endmacro -%}
{%- macro show(block) -%}
{%- set kind = block | kind -%}
{%- if kind == "Heading" %}
<h{{ block.level }}>{{ words(block.spans) }}</h{{ block.level }}>
{%- elif kind == "Text" %}
<div{% if block.box %} class="box box-{{ block.box.value }}"{% endif %}>
{%- for line in block.lines %}<p class="line">{{ words(line) }}</p>{% endfor %}</div>
{%- elif kind == "Table" %}
<table>{% if block.columns | select | list %}<thead><tr>{% for title in block.columns %}
<th{% if loop.index0 in block.numeric %} class="number"{% endif %}>{{ title | inert }}</th>{% endfor %}
</tr></thead>{% endif %}<tbody>{% for row in block.rows %}
<tr>{% for cell in row %}
<td{% if loop.index0 in block.numeric %} class="number"{% endif %}>{{ words(cell) }}</td>{% endfor %}</tr>
{%- endfor %}</tbody></table>
{%- elif kind == "Diff" %}
<pre>{% for each in block.lines %}<span class="{{ each.sign | sign }}">{{ "  " * each.depth }}{{ each.sign }}
{#- #} {{ each.text | inert }}</span>{% if each.note %}  <span class="replace">{{ each.note | inert }}</span>
{%- endif %}
{% endfor %}</pre>
{%- elif kind == "Code" %}
<pre>{% for line in block.text.splitlines() %}{{ line | inert }}
{% endfor %}</pre>
{%- elif kind == "Fold" %}
<details open><summary>{{ words(block.title) }}</summary>
{%- for inner in block.blocks %}{{ show(inner) }}{% endfor %}
</details>
{%- endif -%}
{%- endmacro -%}
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{{ policy }}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{{ title | inert }}</title>
<style>{{ style }}</style>
</head>
<body>
{%- for block in page %}{{ show(block) }}{% endfor %}
</body>
</html>
"""

_SIGNS = {"+": "add", "-": "remove", "~": "change"}


def policy_for(style: str) -> str:
    """The content security policy of a page with that one style sheet, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters["inert"] = lambda text: inert(text, 2 * VALUE_LIMIT)
    environment.filters["kind"] = lambda block: type(block).__name__
    environment.filters["sign"] = lambda sign: _SIGNS.get(sign, "plain")
    return environment.from_string(_TEMPLATE)


def render(page: Page) -> str:
    """The page as an HTML document; the first heading is its title."""
    from markupsafe import Markup

    headings = [block for block in page if isinstance(block, Heading)]
    title = "".join(span.text for span in headings[0].spans) if headings else "audiencesync"
    known: tuple[Heading | Text | Table | Diff | Code | Fold, ...] = summary_first(page)
    # The style sheet is ours and holds no "<"; the policy names its digest, so it goes in as it is.
    style, policy = Markup(STYLE), Markup(policy_for(STYLE))  # noqa: S704 - constants
    return _template().render(page=known, title=title, style=style, policy=policy)
