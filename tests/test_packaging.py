"""What is handed out: the wheel, the sdist, the lock, and a command that starts fast."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT
from tests.test_layers import HEAVY

PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LOCK = (ROOT / "requirements.lock").read_text("utf-8")
SHIPPED = ("audiencesync", "schemas", "audiences", "tests")

# What running the example workspace and the tests leaves behind.
DEBRIS = (
    "audiences/.audiencesync/property.sqlite",
    "audiences/events/generated.parquet",
    "audiences/out/cart.csv",
    "audiencesync/__pycache__/model.cpython-311.pyc",
    "tests/__pycache__/conftest.cpython-311.pyc",
    ".venv/lib/site.py",
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a copy of the repository, with the debris of a run in it."""
    folder = tmp_path_factory.mktemp("project")
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    for name in SHIPPED:
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".audiencesync")
        )
    for name in DEBRIS:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"debris")
    return folder


@pytest.fixture(scope="module")
def wheel_names(project: Path, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Give the names of all files in the wheel, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    (artifact,) = WheelBuilder(str(project)).build(directory=str(folder), versions=["standard"])
    with zipfile.ZipFile(artifact) as wheel:
        return set(wheel.namelist())


@pytest.fixture(scope="module")
def sdist_names(project: Path, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Give the names of all files in the sdist, without its top folder."""
    folder = tmp_path_factory.mktemp("sdist")
    (artifact,) = SdistBuilder(str(project)).build(directory=str(folder), versions=["standard"])
    shutil.unpack_archive(artifact, folder / "unpacked", filter="data")
    (top,) = (folder / "unpacked").iterdir()
    return {path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file()}


def sources(folder: str, pattern: str) -> set[str]:
    """Give the repository's own files of a folder, by their path from the root."""
    paths = (path.relative_to(ROOT) for path in (ROOT / folder).rglob(pattern))
    generated = {".audiencesync", "__pycache__", "events", "out"}
    return {path.as_posix() for path in paths if not generated & set(path.parts)}


def test_the_wheel_holds_every_module_and_the_type_marker(wheel_names: set[str]) -> None:
    assert sources("audiencesync", "*.py") <= wheel_names
    assert "audiencesync/py.typed" in wheel_names


def test_the_wheel_holds_what_the_catalogs_pages_are_made_of(wheel_names: set[str]) -> None:
    pages = sources("audiencesync/report/catalog/pages", "*.*")
    assert {Path(name).suffix for name in pages} == {".j2", ".css", ".js"}
    assert pages <= wheel_names


def test_the_wheel_holds_the_schemas(wheel_names: set[str]) -> None:
    names = {"audience", "workspace", "plan"}
    assert {f"audiencesync/_data/schemas/{name}.schema.json" for name in names} <= wheel_names


def test_the_wheel_holds_the_example_workspace(wheel_names: set[str]) -> None:
    expected = {f"audiencesync/_data/{name}" for name in sources("audiences", "*.yaml")}
    assert "audiencesync/_data/audiences/audiencesync.yaml" in expected
    assert expected <= wheel_names


def test_the_wheel_holds_nothing_else(wheel_names: set[str]) -> None:
    assert {name.partition("/")[0] for name in wheel_names} == {
        "audiencesync",
        f"audiencesync-{version()}.dist-info",
    }
    assert not [name for name in wheel_names if is_debris(name)]


def test_the_sdist_holds_what_the_tests_need_and_no_debris(sdist_names: set[str]) -> None:
    assert {"README.md", "LICENSE", "requirements.lock", "tests/conftest.py"} <= sdist_names
    assert sources("audiences", "*.yaml") | sources("schemas", "*.json") <= sdist_names
    assert not [name for name in sdist_names if is_debris(name)]


def is_debris(name: str) -> bool:
    """Tell whether a packed file was made by a run."""
    places = {"/" + place.partition("/")[2] for place in DEBRIS} | {"/" + place for place in DEBRIS}
    return any(("/" + name).endswith(place) for place in places)


def version() -> str:
    """Give the version said in audiencesync/__init__.py."""
    found = re.search(
        r'^__version__ = "(.+)"$', (ROOT / "audiencesync/__init__.py").read_text("utf-8"), re.MULTILINE
    )
    assert found
    return found[1]


def test_the_changelog_knows_the_version_or_what_is_coming() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert f"## [{version()}]" in text or "## [Unreleased]" in text


def locked() -> dict[str, str]:
    """Give each entry of the lock, hashes included, by its normalised name."""
    entries = re.split(r"(?m)^(?=\S)", LOCK)
    return {canonicalize_name(re.split(r"[ =<>;\[]", entry)[0]): entry for entry in entries if entry.strip()}


def wanted() -> list[Requirement]:
    """Give every requirement of the project and its extras."""
    table = PYPROJECT["project"]
    groups = [
        table["dependencies"],
        *table["optional-dependencies"].values(),
        PYPROJECT["build-system"]["requires"],
    ]
    return [Requirement(line) for group in groups for line in group]


def test_the_lock_names_no_host() -> None:
    assert "://" not in LOCK
    assert not re.findall(r"(?m)^\s*--(?!hash=)\S+", LOCK)
    assert "@" not in LOCK


def test_every_locked_requirement_is_exact_and_has_hashes() -> None:
    assert len(locked()) > len(wanted())
    for entry in locked().values():
        assert re.match(r"[a-z0-9.-]+==[^\s;]+ ", entry), entry.splitlines()[0]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry), entry.splitlines()[0]


@pytest.mark.parametrize("requirement", wanted(), ids=str)
def test_the_lock_holds_what_the_project_asks_for(requirement: Requirement) -> None:
    if requirement.name == PYPROJECT["project"]["name"]:
        extras = set(PYPROJECT["project"]["optional-dependencies"])
        assert requirement.extras <= extras
        return
    pin = locked()[canonicalize_name(requirement.name)].partition("==")[2].split()[0]
    assert requirement.specifier.contains(pin, prereleases=True)


def test_re2_is_asked_for_where_it_has_wheels_alone() -> None:
    (requirement,) = (each for each in wanted() if each.name == "google-re2")
    marker = requirement.marker
    assert isinstance(marker, Marker)
    common = {"platform_python_implementation": "CPython", "python_version": "3.11"}
    for machine in ("x86_64", "aarch64", "arm64", "AMD64", "ARM64"):
        assert marker.evaluate({**common, "platform_machine": machine})
    assert not marker.evaluate({**common, "platform_machine": "riscv64"})
    assert not marker.evaluate({**common, "platform_machine": "x86_64", "python_version": "3.15"})


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "sys.argv = ['audiencesync', '--help']\n"
        "from audiencesync.cli import main\n"
        "code = 'returned'\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    code = end.code\n"
        "print('exit', code, *sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "Usage:" in run.stdout, run.stderr
    head, code, *modules = run.stderr.split()
    assert (head, code) == ("exit", "0")
    assert "click" in modules
    assert not HEAVY & set(modules)


def test_the_module_and_the_command_tell_the_same_version() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "audiencesync", "--version"], capture_output=True, text=True, check=True
    )
    assert version() in run.stdout


def test_ci_runs_the_readmes_test_command() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    (command,) = re.findall(r"(?m)^<!-- test-command -->\n```sh\n(.+)\n```$", readme)
    steps = command.split(" && ")
    assert steps[0].startswith("python3 -m venv .venv")
    assert steps[-1] == ".venv/bin/pytest"
    # An older pip that follows dependencies here leaves the pin of a package whose extras are asked for.
    assert "--no-deps -r requirements.lock" in command
