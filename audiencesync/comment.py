"""One comment in a pull request, found again by its marker and updated in place; never a second one.

The comment begins with a marker that names owner and target, so that each plan has one comment of its own,
and only what the same account wrote counts: anybody can write a marker. Two runs at once may both find none
and post; whoever lists the comments afterwards deletes the younger one.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote

from audiencesync.errors import NoAnswerError, RequestError, ServerError, UsageError
from audiencesync.forge import Comment, Forge
from audiencesync.planfile import PlanFile
from audiencesync.report import markdown
from audiencesync.report.page import Code, Page, Text, line

LIMIT = 65_536
"""The most characters that the platform takes in a comment."""

_TRIES = 3
_PAUSE = 2.0


# ---------------------------------------------------------------- what the comment says


def marker(owner: str, target: str) -> str:
    """The first line of the comment of one owner and target; it does not show."""
    return f"<!-- audiencesync:{quote(owner, safe='')}/{quote(target, safe='')} -->"


_DIGEST = re.compile(r"<!-- digest:([0-9a-f]{64}) -->")


def compose(planfile: PlanFile, report: str, workspace: str = "") -> str:
    """The comment's text: marker and digest, the plan as Markdown, and the command that carries it out.

    A report that is too long is cut between two of its blocks. `workspace` is the folder that the command
    names; "" where it is the one that is found anyway.
    """
    core = planfile.core
    head = f"{marker(core['owner'], core['target'])}\n<!-- digest:{planfile.digest} -->\n\n"
    foot = markdown.render(_foot(planfile, workspace), 4_000)
    room = LIMIT - len(head) - len(foot) - 1
    return f"{head}{shortened(report.strip(), room)}\n\n{foot}".strip() + "\n"


def _foot(planfile: PlanFile, workspace: str) -> Page:
    changes = [action for action in planfile.core["actions"] if action["verb"] != "keep"]
    if not changes:
        return ()
    gone = [action["verb"] for action in changes if action["archives"]]
    words = [
        "audiencesync",
        *(("-w", workspace) if workspace else ()),
        "-t",
        planfile.core["target"],
        "apply",
    ]
    words += [word for key in planfile.selection for word in ("--only", key)]
    words += ["--expect", planfile.digest]
    words += ["--allow-replace"] * any(verb != "archive" for verb in gone)
    words += ["--allow-archive"] * ("archive" in gone)
    said = line("This plan and no other is carried out by")
    return (Text((said,)), Code(shlex.join(words), "sh"))


_CUT = "\n\n> [!NOTE]\n> The report is too long for a comment; the rest is in the run's summary.\n"
_FENCE = re.compile(r"(`{3,}|~{3,})(.*)")


def shortened(report: str, limit: int) -> str:
    """The Markdown, or as many of its blocks as `limit` characters hold, and a note that more was there.

    No fence and no fold is left open.
    """
    if len(report) <= limit:
        return report
    end = 0
    for place in _ends(report):
        if place + len(_CUT) > limit:
            break
        end = place
    return report[:end].rstrip() + _CUT


def _ends(report: str) -> Iterator[int]:
    """Where a block ends at an empty line, outside of every fence and fold."""
    place = depth = 0
    fence = ""
    for each in report.split("\n"):
        if fenced := _FENCE.match(each):
            if not fence:
                fence = fenced[1]
            elif fenced[1].startswith(fence) and not fenced[2].strip():
                fence = ""
        elif not fence:
            depth += each.count("<details") - each.count("</details")
            if not each and not depth:
                yield place
        place += len(each) + 1


# ---------------------------------------------------------------- the one comment


class Result(StrEnum):
    """What became of the comment."""

    POSTED = "posted"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Published:
    """The one comment as it stands now."""

    result: Result
    url: str


def publish(forge: Forge, pull: int, body: str) -> Published:
    """Makes the body, whose first line is the marker, the one comment of its kind in a pull request."""
    mark = body.partition("\n")[0]
    found, result = forge.ours(pull, mark), Result.UNCHANGED
    if not found:
        found, result = _post(forge, pull, mark, body), Result.POSTED
    first, *younger = found
    if first.body.strip() != body.strip():
        forge.update(first.number, body)
        result = Result.UPDATED
    for each in younger:
        forge.delete(each.number)
    return Published(result, first.url)


def _post(forge: Forge, pull: int, mark: str, body: str) -> list[Comment]:
    """Posts the comment and lists again: another run may have posted too, or a lost reply hide our own."""
    lost: RequestError | None = None
    for left in reversed(range(_TRIES)):
        made: list[Comment] = []
        try:
            made = [each for each in (forge.create(pull, body),) if each.number]
        except NoAnswerError as error:
            if not error.sent:
                raise
            lost = error
        except ServerError as error:
            lost = error
        if not made:
            forge.sleep(_PAUSE)
        found = {each.number: each for each in (*made, *forge.ours(pull, mark))}
        if found:
            return [found[number] for number in sorted(found)]
        if not left:
            break
    raise lost or AssertionError(pull)


def read_digest(forge: Forge, pull: int, mark: str) -> str:
    """The digest that our comment in a pull request names.

    Errors: UsageError where there is no such comment.
    """
    for each in forge.ours(pull, mark):
        if found := _DIGEST.fullmatch(each.body.split("\n")[1].rstrip() if "\n" in each.body else ""):
            return found[1]
    raise UsageError(
        f"pull request {pull} of {forge.repository} has no plan of ours in its comments, so nothing was "
        "reviewed: plan again and hand its digest over with --expect"
    )


def pull_of(forge: Forge, commit: str) -> int:
    """The merged pull request that a commit came from.

    Errors: UsageError where there is none, or more than one.
    """
    if not re.fullmatch(r"[0-9a-f]{40,64}", commit):
        raise UsageError(f"{commit!r} is no commit: write all of its hash")
    found = forge.merged(commit)
    if len(found) != 1:
        how = f"from pull requests {', '.join(map(str, found))}" if found else "from no merged pull request"
        raise UsageError(
            f"commit {commit[:12]} came {how}: say which one with --pull, or hand a digest over with --expect"
        )
    return found[0]
