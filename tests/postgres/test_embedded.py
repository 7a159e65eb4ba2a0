"""The embedded server survives whatever happens to it, to us, and to its files."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from conftest import SMALL_MB, VERSIONS
from evenstock.postgres import embedded
from evenstock.postgres.embedded import joined
from evenstock.postgres.errors import DatabaseUnfit
from evenstock.postgres.keeper import Keeper

# Another process that joins, says so, and stays until its input ends.
USER = """
import sys
from pathlib import Path
from evenstock.postgres.embedded import joined
with joined(Path(sys.argv[1]), lambda words: None, Path(sys.argv[2]), shared_buffers_mb=64) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=VERSIONS)
def bin_dir(request: pytest.FixtureRequest) -> Path:
    return VERSIONS[request.param] or embedded.packaged_bin_dir()


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data folder under one that is closed to others; its server is stopped however the test ends."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    folder = closed / "data"
    yield folder
    if (folder / "postgres").exists():
        pid = postmaster(folder)
        if pid is not None and (folder / "server.lock").exists() and held(folder):
            os.kill(pid, signal.SIGQUIT)


def held(folder: Path) -> bool:
    with (
        embedded._Lock.opened(folder / "server.lock", Keeper("you")) as lock,
    ):
        return not lock.try_take()


def postmaster(folder: Path) -> int | None:
    try:
        return int((folder / "postgres/postmaster.pid").read_text(encoding="ascii").splitlines()[0])
    except FileNotFoundError:
        return None


def asked(url: str, sql: str) -> Any:
    async def ask() -> Any:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return asyncio.run(ask())


def another(data: Path, bin_dir: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", USER, str(data), str(bin_dir)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ourselves


def said(user: "subprocess.Popen[str]") -> str:
    assert user.stdout is not None
    return user.stdout.readline().strip()


def leave(user: "subprocess.Popen[str]") -> None:
    user.communicate(timeout=60)
    assert user.returncode == 0


def test_the_last_one_out_stops_it_and_the_data_is_there_again(data: Path, bin_dir: Path) -> None:
    with joined(data, print, bin_dir, shared_buffers_mb=SMALL_MB) as outer:
        asked(outer, "CREATE TABLE kept AS SELECT 42 AS n")
        with joined(data, print, bin_dir) as inner:
            assert inner == outer
        assert asked(outer, "SELECT n FROM kept") == 42
        assert held(data)
    assert not held(data)
    assert postmaster(data) is None
    assert not Path((data / "socket").read_text()).exists()  # nothing stays behind elsewhere
    with joined(data, print, bin_dir, shared_buffers_mb=SMALL_MB) as again:
        assert asked(again, "SELECT n FROM kept") == 42


def test_it_is_made_as_the_design_says(data: Path, bin_dir: Path) -> None:
    with joined(data, print, bin_dir, shared_buffers_mb=SMALL_MB) as url:
        shown = {
            name: asked(url, f"SELECT current_setting('{name}')")
            for name in (
                "data_checksums", "listen_addresses", "server_encoding", "max_wal_size", "fsync", "full_page_writes",
                "synchronous_commit", "password_encryption",
            )
        }  # fmt: skip
        order = asked(url, "SELECT datcollate FROM pg_database WHERE datname = current_database()")
        with pytest.raises(asyncpg.InvalidPasswordError):
            asked(url.replace(":" + url.split("@")[0].rsplit(":", 1)[1], ":wrong"), "SELECT 1")
    assert shown == {
        "data_checksums": "on", "listen_addresses": "", "server_encoding": "UTF8", "max_wal_size": "8GB", "fsync": "on",
        "full_page_writes": "on", "synchronous_commit": "on", "password_encryption": "scram-sha-256",
    }  # fmt: skip
    assert order == "C"
    assert [oct((data / name).stat().st_mode & 0o777) for name in (".", "postgres", "password")] == [
        "0o700",
        "0o700",
        "0o600",
    ]
    assert data.parent.stat().st_mode & 0o777 == 0o700


def test_after_kill_9_of_the_server_the_next_one_recovers_it(data: Path, bin_dir: Path) -> None:
    with joined(data, print, bin_dir, shared_buffers_mb=SMALL_MB) as url:
        asked(url, "CREATE TABLE kept AS SELECT n FROM generate_series(1, 1000) AS n")
        pid = postmaster(data)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        with joined(data, print, bin_dir, shared_buffers_mb=SMALL_MB) as again:
            assert asked(again, "SELECT count(*) FROM kept") == 1000
            assert postmaster(data) != pid
        assert asked(url, "SELECT count(*) FROM kept") == 1000  # the first user's URL still leads there
    assert not held(data)


def test_two_that_start_at_once_both_join_one_server(data: Path, bin_dir: Path) -> None:
    users = [another(data, bin_dir) for _ in range(3)]
    urls = [said(user) for user in users]
    assert urls[0].startswith("postgresql://")
    assert len(set(urls)) == 1
    for user in users[:2]:
        leave(user)
    assert asked(urls[0], "SELECT 1") == 1
    leave(users[2])
    assert not held(data)


def test_two_threads_join_and_leave_again_and_again(data: Path, bin_dir: Path) -> None:
    together = threading.Barrier(2)

    def visit(_: int) -> int:
        for _ in range(3):
            together.wait(60)
            with joined(data, print, bin_dir, shared_buffers_mb=SMALL_MB) as url:
                assert asked(url, "SELECT 1") == 1
        return 1

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(visit, range(2))) == 2
    assert not held(data)


def test_a_user_killed_with_9_leaves_the_server_to_be_adopted(data: Path, bin_dir: Path) -> None:
    user = another(data, bin_dir)
    url = said(user)
    pid = postmaster(data)
    user.kill()
    user.communicate(timeout=60)
    assert asked(url, "SELECT 1") == 1
    with joined(data, print, bin_dir) as adopted:
        assert adopted == url
        assert postmaster(data) == pid
    assert not held(data)


def test_a_user_killed_while_the_server_starts_leaves_it_to_be_adopted(data: Path, bin_dir: Path) -> None:
    for delay_s in (0.05, 0.3, 0.6, 0.9):
        user = another(data, bin_dir)
        with pytest.raises(subprocess.TimeoutExpired):
            user.wait(delay_s)
        user.kill()
        user.communicate(timeout=60)
    with joined(data, print, bin_dir, shared_buffers_mb=SMALL_MB) as url:
        assert asked(url, "SELECT 1") == 1
    assert not held(data)


def test_a_half_made_database_is_made_anew(data: Path, bin_dir: Path) -> None:
    (data / "postgres.new-1").mkdir(parents=True)
    (data / "postgres.new-1/PG_VERSION").write_text("18\n")
    (data / "users.lock").touch()
    with joined(data, print, bin_dir, shared_buffers_mb=SMALL_MB) as url:
        assert asked(url, "SELECT 1") == 1
    assert not (data / "postgres.new-1").exists()


def test_a_stale_pid_file_that_names_a_living_process_is_not_believed(data: Path, bin_dir: Path) -> None:
    with joined(data, print, bin_dir, shared_buffers_mb=SMALL_MB):
        stale = (data / "postgres/postmaster.pid").read_text().splitlines()
    bystander = subprocess.Popen(["sleep", "60"], cwd="/")  # noqa: S607 - the system's
    try:
        (data / "postgres/postmaster.pid").write_text("\n".join([str(bystander.pid), *stale[1:]]) + "\n")
        with joined(data, print, bin_dir, shared_buffers_mb=SMALL_MB) as url:
            assert asked(url, "SELECT 1") == 1
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_vanished_socket_folder_brings_a_restart_at_the_same_address(data: Path, bin_dir: Path) -> None:
    words: list[str] = []
    with joined(data, print, bin_dir, shared_buffers_mb=SMALL_MB) as url:
        folder = Path((data / "socket").read_text())
        shutil.rmtree(folder)
        with joined(data, words.append, bin_dir, shared_buffers_mb=SMALL_MB) as again:
            assert again == url
            assert asked(again, "SELECT 1") == 1
            assert folder.stat().st_mode & 0o777 == 0o700
    assert "socket has vanished" in words[0]


def test_a_server_that_cannot_start_says_its_last_words_at_once(data: Path, bin_dir: Path) -> None:
    with joined(data, print, bin_dir, shared_buffers_mb=SMALL_MB):
        pass
    with (data / "postgres/postgresql.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")
    with (
        pytest.raises(
            DatabaseUnfit, match=r'(?s)ended while it started.*unrecognized configuration.*"no_such_setting"'
        ),
        joined(data, print, bin_dir),
    ):
        pass
    assert not held(data)


def test_a_folder_of_another_version_is_refused(data: Path, bin_dir: Path) -> None:
    with joined(data, print, bin_dir, shared_buffers_mb=SMALL_MB):
        pass
    (data / "postgres/PG_VERSION").write_text("14\n")
    with pytest.raises(DatabaseUnfit, match="was made by PostgreSQL 14"), joined(data, print, bin_dir):
        pass


def test_a_server_that_others_started_on_it_is_left_alone(data: Path, bin_dir: Path) -> None:
    with joined(data, print, bin_dir, shared_buffers_mb=SMALL_MB):
        pass
    bystander = subprocess.Popen(["sleep", "60"], cwd=data / "postgres")  # noqa: S607 - the system's
    try:
        (data / "postgres/postmaster.pid").write_text(f"{bystander.pid}\n")
        with (
            pytest.raises(DatabaseUnfit, match=rf"process {bystander.pid}.*pg_ctl stop"),
            joined(data, print, bin_dir),
        ):
            pass
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(DatabaseUnfit, match=r"data folder .*file/data cannot be used: Not a directory"),
        joined(tmp_path / "file/data", print),
    ):
        pass


def test_programs_that_are_not_there_are_named(tmp_path: Path) -> None:
    with (
        pytest.raises(DatabaseUnfit, match="Correct EVENSTOCK_PG_BIN"),
        joined(tmp_path / "data", print, tmp_path),
    ):
        pass


def test_a_folder_with_other_things_in_it_keeps_its_mode(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "other").touch()
    with joined(folder, print, shared_buffers_mb=SMALL_MB) as url:
        assert asked(url, "SELECT 1") == 1
        assert folder.stat().st_mode & 0o777 == 0o755


# whoever is not root runs the server as it is, which all other tests of this file do
@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_root_without_namespaces_runs_it_as_a_system_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("evenstock.postgres.keeper._namespace", lambda: None)
    # Under a folder that only root may enter.
    with pytest.raises(DatabaseUnfit, match="cannot reach the data folder"), joined(tmp_path / "data", print):
        pass
    assert (tmp_path / "data").stat().st_uid == 0
