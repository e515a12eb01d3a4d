"""A new workspace: the example audiences, the schemas that editors read, and a CI workflow.

Nothing is ever written over. The workflow goes to the top of the git repository around the folder, where
the platform looks for it; without a repository, into the folder itself.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from audiencesync import scalars, schema, writing
from audiencesync.errors import UsageError
from audiencesync.settings import NAME

WORKFLOW = ".github/workflows/audiences.yml"
SCHEMAS = ("audience", "workspace")
_SCHEMA_LINE = re.compile(r"^# yaml-language-server: \$schema=.*?([a-z]+\.schema\.json)$", re.MULTILINE)
_OWNER_LINE = re.compile(r"^owner: .*$", re.MULTILINE)
_GENERATED = {".audiencesync", "events", "out"}

_IGNORED = """\
# Lists of members, and the event export: personal data stays out of git.
out/
events/
"""


@dataclass(frozen=True, slots=True)
class Started:
    """What was written, and what was there already and is left alone."""

    folder: Path
    written: tuple[Path, ...]
    left: tuple[Path, ...]


def shipped(name: str) -> Path:
    """The folder of that name (audiences, schemas) that comes with the program.

    It lies inside the package where a wheel was installed, beside it in an editable install.
    """
    package = Path(__file__).resolve().parent
    inside = package / "_data" / name
    return inside if inside.is_dir() else package.parent / name


def examples() -> dict[str, str]:
    """The texts of the example workspace, by their paths in it."""
    home = shipped("audiences")
    found: dict[str, str] = {}
    for place, folders, files in os.walk(home):
        folders[:] = sorted(set(folders) - _GENERATED)
        for name in sorted(files):
            if name.endswith((".yaml", ".yml")):
                path = Path(place, name)
                found[path.relative_to(home).as_posix()] = path.read_text("utf-8")
    return found


def files(version: str, workspace: str = ".", owner: str = "") -> dict[str, str]:
    """The texts of a new workspace by their paths in it; the workflow's is from the repository's top.

    `workspace` is the folder's path from there.
    """
    found: dict[str, str] = {}
    for name, text in examples().items():
        up = "../" * (len(PurePosixPath(name).parts) - 1)
        found[name] = _SCHEMA_LINE.sub(rf"# yaml-language-server: $schema={up}schemas/\1", text, count=1)
    if owner:
        found[NAME] = _OWNER_LINE.sub(f"owner: {scalars.text_of(owner)}", found[NAME], count=1)
    found |= {f"schemas/{name}.schema.json": schema.text(name) for name in SCHEMAS}
    return found | {".gitignore": _IGNORED, WORKFLOW: workflow(version, workspace)}


def start(folder: Path, version: str, owner: str = "") -> Started:
    """Writes a new workspace into a folder, which may exist.

    Errors: UsageError where it is a workspace already (nothing is written then), for an owner that is none,
    and where a file cannot be written.
    """
    if (folder / NAME).exists() or (folder / NAME).is_symlink():
        raise UsageError(f"{folder} is a workspace already, since it has {NAME}: nothing was written")
    if owner and not re.fullmatch(r"[a-z0-9-]{1,40}", owner):
        raise UsageError(f"{owner!r} is no owner: 1 to 40 small letters, digits and hyphens")
    top = repository(folder)
    inside = Path(os.path.relpath(folder.resolve(), top.resolve())).as_posix()
    texts = files(version, inside, owner)
    # The settings come last: a folder has them only when it has the rest.
    names = sorted(texts, key=lambda name: (name == NAME, name))
    written: list[Path] = []
    left: list[Path] = []
    for name in names:
        path = (top if name == WORKFLOW else folder) / name
        if path.exists() or path.is_symlink():
            left.append(path)
        else:
            writing.create(path, texts[name])
            written.append(path)
    return Started(folder, tuple(written), tuple(left))


def repository(folder: Path) -> Path:
    """The top of the git repository around a folder; the folder itself where there is none."""
    home = folder.resolve()
    top = next((place for place in (home, *home.parents) if (place / ".git").exists()), home)
    return folder if top == home else top


def workflow(version: str, workspace: str = ".") -> str:
    """The CI workflow for GitHub Actions: checks and a plan on pull requests, apply on the main branch."""
    paths = "**" if workspace == "." else f"{workspace}/**"
    return (
        _WORKFLOW.replace("@VERSION@", version)
        .replace("@PATHS@", scalars.text_of(paths, flow=True))
        .replace("@WORKSPACE@", scalars.text_of(workspace))
    )


_WORKFLOW = """\
# Checks the audiences of a pull request, shows what it would change, and applies what is merged.
#
# It needs no secrets as it stands: TARGET is the property inside the program. For a real one, set TARGET to a
# target of audiencesync.yaml and take the comment signs off the steps that sign in to Google (id-token and
# auth). They use Workload Identity Federation, so no key is stored anywhere:
#   https://github.com/google-github-actions/auth#workload-identity-federation-through-a-service-account
# The service account needs the Marketer role on the property (Admin > Property access management).
# Give the environment "audiences" required reviewers, and every apply waits for one of them.
name: audiences

on:
  pull_request:
    paths: [@PATHS@, .github/workflows/audiences.yml]
  push:
    branches: [main]
    paths: [@PATHS@, .github/workflows/audiences.yml]

permissions:
  contents: read

env:
  AUDIENCESYNC: audiencesync==@VERSION@
  WORKSPACE: @WORKSPACE@
  TARGET: demo

jobs:
  validate:
    runs-on: ubuntu-latest
    timeout-minutes: 10
    steps:
      - uses: actions/checkout@v4
        with:
          persist-credentials: false
      - uses: actions/setup-python@v5
        with:
          python-version: "3.13"
      - run: pip install "$AUDIENCESYNC"
      - run: audiencesync -w "$WORKSPACE" validate --format github
      - run: audiencesync -w "$WORKSPACE" fmt --check

  plan:
    needs: validate
    # Pull requests from forks get no credentials.
    if: github.event_name == 'push' || github.event.pull_request.head.repo.full_name == github.repository
    runs-on: ubuntu-latest
    timeout-minutes: 20
    permissions:
      contents: read
      # id-token: write
    outputs:
      digest: ${{ steps.plan.outputs.digest }}
    steps:
      - uses: actions/checkout@v4
        with:
          persist-credentials: false
      - uses: actions/setup-python@v5
        with:
          python-version: "3.13"
      - run: pip install "$AUDIENCESYNC"
      # - uses: google-github-actions/auth@v2
      #   with:
      #     workload_identity_provider: projects/123456789/locations/global/workloadIdentityPools/github/providers/github
      #     service_account: audiences-plan@your-project.iam.gserviceaccount.com
      - id: plan
        run: |
          audiencesync -w "$WORKSPACE" -t "$TARGET" plan --out plan.json --format markdown >> "$GITHUB_STEP_SUMMARY"
          python -c 'import json; print("digest=" + json.load(open("plan.json"))["digest"])' >> "$GITHUB_OUTPUT"

  apply:
    needs: plan
    if: github.event_name == 'push'
    runs-on: ubuntu-latest
    timeout-minutes: 60
    environment: audiences
    # One apply at a time, and none is cut off in the middle.
    concurrency:
      group: audiences-apply
      cancel-in-progress: false
    permissions:
      contents: read
      # id-token: write
    steps:
      - uses: actions/checkout@v4
        with:
          persist-credentials: false
      - uses: actions/setup-python@v5
        with:
          python-version: "3.13"
      - run: pip install "$AUDIENCESYNC"
      # - uses: google-github-actions/auth@v2
      #   with:
      #     workload_identity_provider: projects/123456789/locations/global/workloadIdentityPools/github/providers/github
      #     service_account: audiences-apply@your-project.iam.gserviceaccount.com
      # Refuses with exit code 4 where the property or the files moved since the plan. Replacements and archives
      # are permanent, so they wait for a hand: add --allow-replace or --allow-archive for the run that means it.
      - run: audiencesync -w "$WORKSPACE" -t "$TARGET" apply --yes --expect "$DIGEST"
        env:
          DIGEST: ${{ needs.plan.outputs.digest }}
"""  # noqa: E501 - the lines of the file that is written
