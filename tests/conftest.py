"""What every test shares: a shut network, an empty environment, golden files and reference data."""

import difflib
import ipaddress
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = Path(__file__).resolve().parent / "golden"

# The same examples on every run: a red build is about the change at hand, and slow machines are not failures.
settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("explore", deadline=None, max_examples=2000, print_blob=True)
settings.load_profile("ci")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch that rewrites golden files."""
    parser.addoption("--update-golden", action="store_true", help="rewrite the files in tests/golden/")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to rewrite golden files in CI, where a rewritten file would pass unseen."""
    if config.getoption("--update-golden") and os.environ.get("CI", "").lower() == "true":
        message = "--update-golden is refused where CI=true: run it locally and commit the difference"
        raise pytest.UsageError(message)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str | Path, str], None]:
    """Give a function of (path, text): it compares text with tests/golden/path, or rewrites it when asked to.

    The file is compared to the last byte, line ends included.
    """
    update: bool = request.config.getoption("--update-golden")

    def check(path: str | Path, text: str) -> None:
        compare_golden(GOLDEN / path, text, update=update)

    return check


def compare_golden(path: Path, text: str, *, update: bool) -> None:
    """Fail with a unified diff where the file's text is not the given one; with update, write it instead."""
    before = path.read_bytes().decode() if path.exists() else None
    if before == text:
        return
    if update:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return
    way_out = "run pytest --update-golden and review the difference"
    if before is None:
        pytest.fail(f"{path} does not exist: {way_out}")
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), text.splitlines(keepends=True), str(path), "actual"
    )
    pytest.fail("".join(lines) + f"\n{path} differs: {way_out}")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Give the folder of reference data kept beside the repository, or skip where there is none.

    AUDIENCESYNC_SHARED_DATA names another folder.
    """
    override = os.environ.get("AUDIENCESYNC_SHARED_DATA")
    folder = Path(override) if override else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no reference data at {folder} (set AUDIENCESYNC_SHARED_DATA to their folder)")
    return folder


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Give the path of an installed Chromium, or skip where there is none."""
    for program in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(program):
            return found
    return pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")


def is_loopback(host: object) -> bool:
    """Tell whether a host leads to this machine alone: localhost, 127.0.0.0/8, ::1, or none at all."""
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host in {None, "", "localhost"}:
        return True
    try:
        return ipaddress.ip_address(str(host).partition("%")[0]).is_loopback
    except ValueError:
        return False


def refuse_unless_loopback(host: object) -> None:
    """Fail the test that tries to reach another machine.

    pytest's own failure is no Exception, so code that retries on connection errors cannot swallow it.
    """
    if not is_loopback(host):
        pytest.fail(f"the test tried to reach {host!r}: tests speak to loopback alone")


@pytest.fixture(autouse=True)
def shut_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sockets reach loopback and Unix sockets alone."""
    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))
    resolve = socket.getaddrinfo

    def getaddrinfo(host: object, *args: Any, **kwargs: Any) -> object:
        refuse_unless_loopback(host)
        return resolve(host, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def _guarded(method: Callable[..., object]) -> Callable[..., object]:
    def call(sock: socket.socket, *args: Any) -> object:
        if sock.family in {socket.AF_INET, socket.AF_INET6}:
            address = args[-1]
            refuse_unless_loopback(address[0] if isinstance(address, tuple) else address)
        return method(sock, *args)

    return call


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give one empty home folder for the whole run."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def clean_environment(empty_home: Path) -> Iterator[None]:
    """Take away credentials, settings and terminal preferences of whoever runs the tests.

    Subprocesses inherit it. NO_GCE_CHECK keeps google-auth from asking a metadata server.
    """
    foreign = ("GOOGLE_", "CLOUDSDK_", "GCLOUD_", "GROWINGIO_", "AUDIENCESYNC_", "GITHUB_", "GIT_")
    terminal = {"NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "COLUMNS", "LINES"}
    proxies = {name for name in os.environ if name.lower().endswith("_proxy")}
    with pytest.MonkeyPatch.context() as patch:
        for name in set(os.environ) & terminal | proxies | {n for n in os.environ if n.startswith(foreign)}:
            patch.delenv(name)
        patch.setenv("HOME", str(empty_home))
        patch.setenv("USERPROFILE", str(empty_home))
        patch.setenv("XDG_CONFIG_HOME", str(empty_home / ".config"))
        patch.setenv("CLOUDSDK_CONFIG", str(empty_home / "gcloud"))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setenv("NO_GCE_CHECK", "true")
        yield
