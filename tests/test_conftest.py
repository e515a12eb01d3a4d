"""The fences of conftest hold: no network, no credentials, no silent golden files."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, compare_golden, is_loopback

OUTSIDE = "192.0.2.1"  # TEST-NET-1 (RFC 5737): never routed


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", b"localhost", "", None])
def test_loopback_is_let_through(host: object) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", [OUTSIDE, "example.com", "10.0.0.1", "0.0.0.0", "::2", "fe80::1%eth0"])  # noqa: S104 - a value under test
def test_other_hosts_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "reach",
    [
        lambda sock: sock.connect((OUTSIDE, 9)),
        lambda sock: sock.connect_ex((OUTSIDE, 9)),
        lambda _: socket.create_connection((OUTSIDE, 9), timeout=1),
        lambda _: socket.getaddrinfo("example.com", 80),
    ],
    ids=["connect", "connect_ex", "create_connection", "getaddrinfo"],
)
def test_the_network_is_shut(reach: Callable[[socket.socket], object]) -> None:
    with socket.socket() as sock, pytest.raises(pytest.fail.Exception, match="loopback alone"):
        reach(sock)


def test_datagrams_are_shut_too() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
        pytest.raises(pytest.fail.Exception, match="loopback alone"),
    ):
        sock.sendto(b"", 0, (OUTSIDE, 9))


def test_loopback_works() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            client.sendall(b"hello")
            connection, _ = server.accept()
        with connection:
            assert connection.recv(5) == b"hello"


def test_the_home_is_empty(empty_home: Path) -> None:
    assert Path.home() == empty_home
    assert "GOOGLE_APPLICATION_CREDENTIALS" not in os.environ


def test_a_golden_file_that_differs_fails_with_the_difference(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\ntwo\n")
    compare_golden(path, "one\ntwo\n", update=False)
    with pytest.raises(pytest.fail.Exception, match=r"(?s)-two\n\+three\n.*--update-golden"):
        compare_golden(path, "one\nthree\n", update=False)
    with pytest.raises(pytest.fail.Exception):
        compare_golden(path, "one\r\ntwo\r\n", update=False)


def test_a_missing_golden_file_fails_until_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with pytest.raises(pytest.fail.Exception, match="does not exist"):
        compare_golden(path, "text", update=False)
    compare_golden(path, "text", update=True)
    assert path.read_text() == "text"


def test_golden_files_are_not_rewritten_in_ci() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--update-golden", "--collect-only", "-q", __file__],
        cwd=ROOT,
        env={**os.environ, "CI": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--update-golden is refused" in run.stderr
