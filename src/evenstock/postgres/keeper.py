"""As whom the embedded server's programs run: PostgreSQL refuses root, and root is who many containers are.

An ordinary user runs them as themselves. Root runs them inside a user namespace, where root's own files belong to an
ordinary user: nothing changes owner, folders closed to others stay closed. Where the kernel refuses namespaces, or the
folder lies in a home that root without its powers cannot enter, they run as a system user who is given the files inside
the data folder, and nothing outside it.
"""

import os
import pwd
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Final

import msgspec

from evenstock.postgres.errors import DatabaseUnfit

ROOT: Final = 0
OVERFLOW_UID: Final = 65534  # how a namespace shows owners that it does not map
# What server programs see of our environment: nothing of PG*, LC_* or LD_* may bend them.
ENVIRONMENT: Final = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C", "TZ": "UTC"}


class Keeper(msgspec.Struct, frozen=True):
    """Who runs the server's programs, and owns what they keep."""

    words: str  # for messages
    prefix: tuple[str, ...] = ()  # goes before every program
    uid: int | None = None  # become this user; None stays who we are
    gid: int | None = None

    @property
    def owner(self) -> int:
        """The uid that the server's files have, as we see them."""
        return os.geteuid() if self.uid is None else self.uid

    def run(
        self,
        command: Sequence[str | Path],
        *,
        script: str | None = None,
        output: IO[bytes] | None = None,
        inherit: Sequence[int] = (),
    ) -> "subprocess.CompletedProcess[str]":
        """Run a program to its end, in a session of its own, so that no terminal's signals reach it.

        With `output`, what it says goes there; else it is in the answer.
        """
        return subprocess.run(  # noqa: S603 - the programs are PostgreSQL's and the system's, the words are ours
            [*self.prefix, *(str(part) for part in command)],
            input=script,
            stdin=subprocess.DEVNULL if script is None else None,
            stdout=subprocess.PIPE if output is None else output,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
            cwd="/",
            env=ENVIRONMENT,
            pass_fds=tuple(inherit),
            start_new_session=True,
            user=self.uid,
            group=self.gid,
            extra_groups=None if self.uid is None else [],
        )

    def give(self, *paths: Path) -> None:
        """Let the keeper own what we wrote inside the data folder."""
        if self.uid is None or self.gid is None:
            return
        for path in paths:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def give_tree(self, folder: Path) -> None:
        """Let the keeper own a folder and everything in it."""
        self.give(folder, *folder.rglob("*"))

    def reaches(self, data: Path, bin_dir: Path) -> bool:
        """Whether it can write in the data folder and run the server's programs."""
        writes = self.run(["test", "-w", data, "-a", "-x", data])
        starts = self.run([bin_dir / "postgres", "--version"])
        return writes.returncode == 0 and starts.returncode == 0


def keeper_of(data: Path, pgdata: Path, bin_dir: Path) -> Keeper:
    """The keeper of a data folder: who we are; for root, whoever owns its database, else the first who reaches it."""
    if os.geteuid() != ROOT:
        return Keeper("you")
    tried = []
    before = data.stat()
    for keeper in _for_root(data, pgdata):
        keeper.give(data)
        if keeper.reaches(data, bin_dir):
            if pgdata.exists() and pgdata.stat().st_uid != keeper.owner:
                keeper.give_tree(pgdata)
            return keeper
        tried.append(keeper.words)
    os.chown(data, before.st_uid, before.st_gid)
    raise DatabaseUnfit(
        f"PostgreSQL does not run as root, and as {' or '.join(tried)} it cannot reach the data folder {data} or its "
        f"programs in {bin_dir}. Run evenstock as an ordinary user, or install it and choose a data folder "
        "(--data DIR) where every folder above may be entered by others (chmod o+x), such as /var/lib/evenstock; or use "
        "a PostgreSQL of your own with --database-url."
    )


def _for_root(data: Path, pgdata: Path) -> Iterator[Keeper]:
    """The choices that root has, best first; an existing database stays with its owner while that works."""
    owner = pgdata.stat().st_uid if pgdata.exists() else ROOT
    folder_owners = (data.stat().st_uid, data.resolve().parent.stat().st_uid)
    if owner != ROOT:
        yield _system_user(owner)
    namespace = _namespace()
    if namespace is not None and owner == ROOT:
        yield namespace
    known = {user.pw_name: user.pw_uid for user in pwd.getpwall()}
    for uid in dict.fromkeys((*folder_owners, known.get("postgres"), known.get("nobody"))):
        if uid is not None and uid not in (ROOT, owner):
            yield _system_user(uid)


def _system_user(uid: int) -> Keeper:
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        raise DatabaseUnfit(
            f"The database's files belong to user {uid}, whom this machine does not know. "
            f"Give them to a user it knows, for instance: chown -R root: on the data folder."
        ) from None
    return Keeper(f"user {user.pw_name}", uid=user.pw_uid, gid=user.pw_gid)


def _namespace() -> Keeper | None:
    """A user namespace in which root's files belong to some ordinary user; None where the kernel refuses it."""
    ordinary = next((user for user in pwd.getpwall() if user.pw_uid not in (ROOT, OVERFLOW_UID)), None)
    if ordinary is None:
        return None
    prefix = ("unshare", "--user", f"--map-user={ordinary.pw_uid}", f"--map-group={ordinary.pw_gid}")
    keeper = Keeper("root in a user namespace", prefix)
    try:
        refused = keeper.run(["true"]).returncode != 0
    except FileNotFoundError:  # no unshare on this machine
        return None
    return None if refused else keeper
