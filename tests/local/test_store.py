"""The embedded property's file: whole after kills, refused where it is not ours."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from audiencesync.errors import StoreError
from audiencesync.local.store import CHUNK, Store, StoredAudience, StoredExport


def store_in(folder: Path) -> Store:
    return Store(folder / ".audiencesync")


def add(store: Store, name: str = "A", property: str = "1000") -> int:
    with store.write() as tx:
        audience = StoredAudience(tx.next_audience_id(0), 5, {"displayName": name, "eventTrigger": {}})
        tx.add_audience(property, audience)
    return audience.id


def ids(store: Store) -> list[int]:
    with store.read() as tx:
        return [audience.id for audience in tx.audiences("1000", limit=100_000)]


def test_the_folder_ignores_itself_and_the_file_is_private(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    add(store)
    assert (tmp_path / ".audiencesync" / ".gitignore").read_text() == "*\n"
    files = list((tmp_path / ".audiencesync").glob("property.sqlite*"))
    assert len(files) > 1
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_a_folder_of_the_users_own_is_not_ignored(tmp_path: Path) -> None:
    Store(tmp_path)
    assert not (tmp_path / ".gitignore").exists()


def test_what_is_written_is_there_after_closing(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    number, seed = add(store), store.seed
    store.close()
    again = store_in(tmp_path)
    assert (ids(again), again.seed) == ([number], seed)


def test_an_exception_undoes_the_whole_write(tmp_path: Path) -> None:
    store = store_in(tmp_path)

    def fail() -> None:
        with store.write() as tx:
            tx.add_property("1", 0)
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    with store.read() as tx:
        assert tx.property_created("1") is None
    assert add(store)


def test_a_reader_sees_one_moment(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    add(store)
    with store.read() as tx:
        assert tx.counts("1000") == (1, 0)
        add(store)
        assert tx.counts("1000") == (1, 0)
    assert len(ids(store)) == 2


def test_an_archived_id_is_never_given_again(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    first = add(store)
    with store.write() as tx:
        tx.archive_audience(first)
    assert add(store) > first


def _foreign(path: Path, statements: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.executescript(statements)
    connection.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"not a database at all, and long enough to be taken for one" * 9,
            "is damaged or no embedded property",
        ),
        (b"SQLite format 3\x00cut", "is damaged or no embedded property"),
        ("CREATE TABLE notes (text)", "another program's database"),
        ("CREATE TABLE notes (text); PRAGMA user_version = 3", "another program's database"),
        ("PRAGMA application_id = 1635083379; PRAGMA user_version = 2", "newer audiencesync (format 2"),
    ],
)
def test_a_file_that_is_not_ours_is_refused_and_kept(
    tmp_path: Path, content: bytes | str, message: str
) -> None:
    folder = tmp_path / ".audiencesync"
    folder.mkdir()
    path = folder / "property.sqlite"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        _foreign(path, content)
    before = path.read_bytes()
    with pytest.raises(StoreError) as caught:
        Store(folder)
    assert message in str(caught.value)
    assert "it was kept as it is: " in str(caught.value)
    assert path.read_bytes() == before


def test_a_damaged_page_is_reported_as_damage(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    for number in range(40):
        add(store, f"audience {number} " + "x" * 500)
    store.close()
    size = store.path.stat().st_size
    with store.path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    before = store.path.read_bytes()
    with pytest.raises(StoreError, match="is damaged or no embedded property"):
        ids(store_in(tmp_path))
    assert store.path.read_bytes() == before


def test_an_empty_file_is_a_new_property(tmp_path: Path) -> None:
    folder = tmp_path / ".audiencesync"
    folder.mkdir()
    (folder / "property.sqlite").touch()
    assert ids(Store(folder)) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file cannot hold the embedded property"):
        Store(tmp_path / "file")
    if not Path("/proc/self").is_dir():
        pytest.skip("no folder here that even root cannot write")
    with pytest.raises(StoreError, match=r"^/proc/self/property.sqlite cannot be written"):
        Store(Path("/proc/self"))


def test_a_read_only_file_is_named(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    with store.read() as tx:
        tx._execute("PRAGMA query_only = ON")
    with pytest.raises(StoreError, match=r"cannot be written .*make the file and its folder writable"):
        add(store)


def test_a_file_that_went_away_is_not_made_anew(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.close()
    store.path.unlink()
    with pytest.raises(StoreError, match="cannot be written"):
        ids(store)
    assert not store.path.exists()


@pytest.mark.parametrize(
    ("offset", "limit"), [(0, 10), (999, 2), (1000, 1000), (500, 1700), (2499, 9), (2500, 5)]
)
def test_export_rows_are_cut_out_of_their_chunks(tmp_path: Path, offset: int, limit: int) -> None:
    store = store_in(tmp_path)
    rows = [(str(number),) for number in range(2 * CHUNK + CHUNK // 2)]
    with store.write() as tx:
        export = tx.add_export("1000", StoredExport(0, 1, 1, 0, {}), map(json.dumps, rows))
    assert export.row_count == len(rows)
    with store.read() as tx:
        text = ",".join(tx.export_rows(export.id, offset, limit))
    found = [tuple(row) for row in json.loads(f"[{text}]")]
    assert found == rows[offset : offset + limit]


def test_rows_that_fail_to_come_leave_no_export(tmp_path: Path) -> None:
    store = store_in(tmp_path)

    def rows() -> Iterator[str]:
        yield from ["1"] * (CHUNK + 1)
        raise LookupError

    with pytest.raises(LookupError), store.write() as tx:
        tx.add_export("1000", StoredExport(0, 1, 1, 0, {}), rows())
    with store.read() as tx:
        assert tx.exports("1000", since=0, limit=9) == []
        assert tx._execute("SELECT count(*) FROM export_rows").fetchone() == (0,)


def test_dropped_exports_take_their_rows_along_and_keep_their_ids(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    with store.write() as tx:
        old = tx.add_export("1000", StoredExport(0, 10, 10, 0, {}), ["1"])
        tx.drop_exports(10)
        new = tx.add_export("1000", StoredExport(0, 11, 11, 0, {}), ["2"])
    assert new.id > old.id
    with store.read() as tx:
        assert [export.id for export in tx.exports("1000", since=0, limit=9)] == [new.id]
        assert list(tx.export_rows(old.id, 0, 9)) == []


def test_16_threads_lose_nothing(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    with ThreadPoolExecutor(16) as pool:
        given = list(pool.map(lambda number: add(store, str(number)), range(320)))
    assert sorted(given) == ids(store)
    assert len(set(given)) == 320


WRITER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from audiencesync.local.store import Store
    from tests.local.test_store import add
    store = Store(Path(sys.argv[1]))
    for number in range(int(sys.argv[2])):
        sys.stdout.write(f"{add(store, str(number))}\\n")
        sys.stdout.flush()
    """
)


def writer(folder: Path, count: int) -> subprocess.Popen[str]:
    """A process that opens the folder and writes, saying each id once it was committed."""
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), str(count)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_processes_open_and_fill_a_new_folder_together(tmp_path: Path) -> None:
    folder = tmp_path / ".audiencesync"
    writers = [writer(folder, 40) for _ in range(6)]
    given = [int(line) for process in writers for line in process.communicate(timeout=60)[0].split()]
    assert [process.returncode for process in writers] == [0] * 6
    assert sorted(given) == ids(Store(folder))
    assert len(given) == 240


def test_a_kill_at_any_moment_loses_nothing_that_was_said(tmp_path: Path) -> None:
    folder = tmp_path / ".audiencesync"
    said: list[int] = []
    for lines in (1, 3, 20):
        process = writer(folder, 100_000)
        assert process.stdout
        said += [int(process.stdout.readline()) for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        said += [int(line) for line in process.stdout.read().split("\n")[:-1]]
        process.communicate(timeout=60)
        store = Store(folder)
        with store.read() as tx:
            assert tx._execute("PRAGMA integrity_check").fetchone() == ("ok",)
            bodies = tx._execute("SELECT body FROM audience").fetchall()
        assert set(said) <= set(ids(store))
        # At most the one write that was under way when the kill came was not said.
        assert len(ids(store)) <= len(said) + 3
        assert all(json.loads(body)["displayName"] for (body,) in bodies)
        store.close()


def test_a_kill_while_the_file_is_made_leaves_one_that_opens(tmp_path: Path) -> None:
    for number in range(6):
        folder = tmp_path / str(number) / ".audiencesync"
        code = "import sys, threading, os, time\nfrom pathlib import Path\n" + textwrap.dedent(
            f"""
            import audiencesync.local.store as s
            count = 0
            def kill(statement):
                global count
                count += 1
                if count == {2 + 3 * number}:
                    os.kill(os.getpid(), 9)
            connect = s.sqlite3.connect
            def traced(*a, **k):
                connection = connect(*a, **k)
                connection.set_trace_callback(kill)
                return connection
            s.sqlite3.connect = traced
            s.Store(Path(sys.argv[1]))
            """
        )
        ended = subprocess.run([sys.executable, "-c", code, str(folder)], check=False, timeout=60)
        assert ended.returncode == -signal.SIGKILL
        assert add(Store(folder))
