"""Measures the catalog of 1,000 audiences: `python tests/bench/catalog.py`.

Writing is set against reading and checking the same workspace. Search in Chromium, from the key to the page
laid out, is set against a bare loop over the same strings in the same page.
"""

from __future__ import annotations

import gzip
import shutil
import sys
import tempfile
import time
from pathlib import Path

from audiencesync import git, site, workspace
from audiencesync.report import catalog

_EXAMPLES = Path(__file__).resolve().parent.parent.parent / "audiences"
_MANY = 1000

_SEARCH = """async () => {
  const search = document.getElementById("q");
  const texts = [...document.querySelectorAll("#list > li")].map(
    (row) => `${row.textContent} ${row.dataset.s || ""}`.toLowerCase());
  const words = ["p", "pu", "purch", "purchase", "cart 7", "growth-team", "no such", ""];
  const ours = [], laid = [], bare = [];
  for (let round = 0; round < 12; round += 1) for (const word of words) {
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    await frame();
    let start = performance.now();
    search.value = word;
    search.dispatchEvent(new Event("input", {bubbles: true}));
    ours.push(performance.now() - start);
    document.body.offsetHeight;
    laid.push(performance.now() - start);
    start = performance.now();
    texts.filter((text) => word.split(" ").every((part) => text.includes(part)));
    bare.push(performance.now() - start);
  }
  const middle = (times) => times.sort((a, b) => a - b)[times.length >> 1];
  return [ours, laid, bare].map((times) => [middle(times), times.at(-1)]);
}"""


def _make(folder: Path) -> None:
    """Write a workspace of copies of the examples, each with a name and a membership of its own."""
    folder.mkdir()
    text = (_EXAMPLES / "audiencesync.yaml").read_text("utf-8")
    settings = text.partition("\nexports:")[0].replace("audiences: 100", "audiences: 2000")
    (folder / "audiencesync.yaml").write_text(settings.replace("triggers: 20", "triggers: 2000"), "utf-8")
    examples = [each.document for each in workspace.load(_EXAMPLES).desired]
    for number in range(_MANY):
        text = examples[number % len(examples)].text
        lines = [line for line in text.splitlines() if not line.startswith(("  key:", "  previousKeys:"))]
        body = "\n".join(lines).replace("displayName: ", f"displayName: {number} ", 1)
        (folder / f"audience-{number:04}.yaml").write_text(body + "\n", "utf-8")


def main() -> None:
    """Print seconds to write, sizes, and milliseconds to search, with their ratios."""
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name) / "audiences", Path(name) / "out"
        _make(folder)
        start = time.perf_counter()
        found = workspace.load(folder)
        settings = found.sound()
        read = time.perf_counter() - start
        start = time.perf_counter()
        given = catalog.Inputs(
            settings, found.desired, str(folder), found.texts, found.problems, git.last_changes(folder)
        )
        pages = catalog.site(given)
        made = time.perf_counter() - start
        start = time.perf_counter()
        site.write(out, pages)
        written = time.perf_counter() - start
        print(f"read and check {len(found.desired):,} audiences {read:6.2f} s")
        print(f"make the pages               {made:6.2f} s   ratio {made / read:.2f}")
        print(f"write the pages              {written:6.2f} s   ratio {written / read:.2f}")
        index = pages["index.html"].encode()
        total = sum(len(page.encode()) for page in pages.values())
        print(f"index {len(index) / 1024:.0f} KiB ({len(gzip.compress(index)) / 1024:.0f} KiB compressed)")
        print(f"all pages {total / 1024 / 1024:.1f} MiB")
        _search(out)


def _search(out: Path) -> None:
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        sys.exit("no Chromium is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        start = time.perf_counter()
        page.goto((out / "index.html").as_uri())
        print(f"open the index {(time.perf_counter() - start) * 1000:.0f} ms")
        ours, laid, bare = page.evaluate(_SEARCH)
        browser.close()
    print(f"bare loop            {bare[0]:6.2f} ms in the middle, {bare[1]:6.2f} at most")
    for what, times in (("search", ours), ("search and layout", laid)):
        ratio = times[0] / bare[0] if bare[0] else float("inf")
        print(f"{what:20} {times[0]:6.2f} ms in the middle, {times[1]:6.2f} at most   ratio {ratio:.1f}")


if __name__ == "__main__":
    main()
