"""The house: servers of the hub on one database, store agents, a shop's and an ERP's sandbox, and the lines between them."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

import aiohttp
import msgspec

from evenstock.estate.program import NotStarted, Program
from evenstock.estate.stack.disk import SmallDisk
from evenstock.estate.stack.wire import Wire, laid

SERVERS: Final = 2
AGENTS_MAX: Final = 2
READY_WITHIN_S: Final = 60.0
STARTS_MAX: Final = 10  # of a program that ends while it starts
START_AGAIN_S: Final = 0.5
LOOKS_EVERY_S: Final = 0.05
COMMAND_WITHIN_S: Final = 120.0
DATABASE_STOPS_WITHIN_S: Final = 3.0
SHOP: Final = "shop"
BOOKS: Final = "books"
FRONT: Final = "front"
DATABASE: Final = "database"
TO_DATABASE: Final = "line to the database"  # of the last server; the others have it at hand
HUB: Final = "hub"  # the folder of its data, on a disk of its own where there is one
SECRETS: Final = {"SHOP_TOKEN": "sandbox", "SHOP_SECRET": "hush", "ERP_TOKEN": "sandbox"}


class House:
    """Everything that runs. `folder` holds all of it."""

    def __init__(self, folder: Path, environ: Mapping[str, str], disk: SmallDisk | None) -> None:
        self.folder = folder
        self.data = folder / HUB
        self.disk = disk
        self.environ = dict(environ) | SECRETS
        self.key = ""
        self.ends_database = True  # nobody else uses it
        self.servers: list[Program] = []
        self.agents: list[Program] = []
        self.sandboxes: dict[str, Program] = {}
        self.lines: dict[str, Wire] = {}
        self.addresses: dict[str, str] = {}  # of programs, by name

    def program(self, name: str) -> Program:
        """One of them, by its name."""
        return {one.name: one for one in (*self.servers, *self.agents, *self.sandboxes.values())}[name]

    def evenstock(self, *arguments: str) -> Any:
        """Run one of our commands to its end, and read its JSON. Raises NotStarted."""
        done = subprocess.run(  # noqa: S603 - ourselves
            [sys.executable, "-m", "evenstock", *arguments, "--json"],
            capture_output=True,
            env=self.environ,
            timeout=COMMAND_WITHIN_S,
            check=False,
        )
        try:
            return msgspec.json.decode(done.stdout)
        except msgspec.DecodeError as error:
            said = done.stderr.decode(errors="replace")[-1000:]
            raise NotStarted(f"evenstock {arguments[0]} answered {done.returncode}:\n{said}") from error

    async def up(self, program: Program, more: Mapping[str, str] | None = None) -> None:
        """Start a program, wait until it listens, and lead to it what leads to it.

        One that gives up because what it needs is away is started again, as any supervisor would. Raises NotStarted.
        """
        for left in reversed(range(STARTS_MAX)):
            program.start(more)
            try:
                url = await asyncio.to_thread(program.address)
                break
            except NotStarted:
                if not left:
                    raise
                await asyncio.sleep(START_AGAIN_S)
        before = self.addresses.get(program.name)
        self.addresses[program.name] = url
        for wire in self.lines.values():
            wire.leads_to = [url if there == before else there for there in wire.leads_to]

    async def ready(self, *programs: Program) -> None:
        """Until one of them says that it is. Raises NotStarted."""
        give_up = asyncio.get_running_loop().time() + READY_WITHIN_S
        within = aiohttp.ClientTimeout(total=1.0)
        async with aiohttp.ClientSession(timeout=within) as session:
            while asyncio.get_running_loop().time() < give_up:
                for program in programs:
                    try:
                        async with session.get(self.addresses[program.name] + "/readyz") as answer:
                            if answer.status == 200:
                                return
                    except (aiohttp.ClientError, TimeoutError):
                        continue  # not yet
                await asyncio.sleep(LOOKS_EVERY_S)
        names = ", ".join(program.name for program in programs)
        raise NotStarted(f"{names} did not become ready in {READY_WITHIN_S:.0f} s.")

    def database(self) -> list[int]:
        """The processes of the database server, the first one first; none while it is away."""
        try:
            first = int((self.data / "postgres" / "postmaster.pid").read_text(encoding="utf-8").split()[0])
        except (FileNotFoundError, IndexError, ValueError):
            return []
        return [first, *children(first)]

    def hit_database(self, number: signal.Signals) -> None:
        """A signal to the server; a kill reaches everything that it started."""
        for pid in self.database()[: None if number is signal.SIGKILL else 1]:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue  # it has just ended

    async def control(self, sandbox: str, name: str, value: Any, method: str = "POST") -> Any:
        """Tell a sandbox what to do, or ask what it remembers."""
        url = f"{self.addresses[sandbox]}/sandbox/{name}"
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, data=msgspec.json.encode(value)) as answer,
        ):
            body = await answer.read()
            if answer.status >= 300:
                raise NotStarted(
                    f"{sandbox}: {method} {name}: {answer.status} {body.decode(errors='replace')}"
                )
            return msgspec.json.decode(body)

    def stop(self) -> None:
        """Everything we started ends, those last without which others cannot."""
        for program in (*self.agents, *self.servers, *self.sandboxes.values()):
            program.stop()
        if self.ends_database:
            self._end_database()

    def _end_database(self) -> None:
        """It ends with its last user; unless that user was killed before it could see to it."""
        for number in (signal.SIGINT, signal.SIGKILL):
            give_up = time.monotonic() + DATABASE_STOPS_WITHIN_S
            while any(_lives(pid) for pid in self.database()):
                if time.monotonic() > give_up:
                    break
                time.sleep(LOOKS_EVERY_S)
            else:
                return
            self.hit_database(number)


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def together(*works: Coroutine[Any, Any, None]) -> None:
    """All of them at once. The first that fails ends the others, and is raised itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from failed


def children(of: int) -> list[int]:
    """Processes that a process started."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(entry.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        if parent == of:
            found.append(int(entry.parent.name))
    return found


@asynccontextmanager
async def opened(
    folder: Path,
    environ: Mapping[str, str],
    agents: int,
    disk: SmallDisk | None,
    *,
    servers: int = SERVERS,
    database_url: str | None = None,
) -> AsyncIterator[House]:
    """A house in which everything runs. With the URL of its database, the last server reaches it by a line of ours.

    Raises NotStarted.
    """
    house = House(folder, environ, disk)
    house.ends_database = database_url is None
    async with AsyncExitStack() as stack:
        stack.callback(house.stop)
        numbers = range(1, agents + 1)
        for name in (
            FRONT,
            SHOP,
            BOOKS,
            *(f"{end}-{number}" for end in ("agent", "tills") for number in numbers),
        ):
            house.lines[name] = await stack.enter_async_context(laid(name))
        far = None if database_url is None else await _lay_to_database(house, database_url, stack)
        await together(_sandboxes(house), _hub(house, servers, far))
        await _agents(house, agents)
        yield house


async def _sandboxes(house: House) -> None:
    for name, connector in ((SHOP, "shopify"), (BOOKS, "erp_rest")):
        arguments = ["sandbox", connector, "--state", str(house.folder / f"{name}.json")]
        house.sandboxes[name] = Program(name, arguments, house.folder / f"{name}.log", house.environ)
        await house.up(house.sandboxes[name])
        house.lines[name].leads_to = [house.addresses[name]]


async def _lay_to_database(house: House, url: str, stack: AsyncExitStack) -> str:
    """A line between the sockets of the database and one of ours; the URL that leads through it."""
    (near,) = parse_qs(urlsplit(url).query)["host"]
    door = _door(near)
    ours = house.folder / "line"
    ours.mkdir(mode=0o700)
    wire = laid(TO_DATABASE, [f"unix:{door}"], ours / door.name)
    house.lines[TO_DATABASE] = await stack.enter_async_context(wire)
    return url.replace(quote(near, safe="/"), quote(str(ours), safe="/"))


def _door(folder: str) -> Path:
    """The database's socket."""
    (door,) = Path(folder).glob(".s.PGSQL.*[0-9]")
    return door


async def _hub(house: House, servers: int, far: str | None) -> None:
    """The first server makes the database; the others join it."""
    allowed = [f"--outbound-allow={urlsplit(house.lines[name].url).netloc}" for name in (SHOP, BOOKS)]
    for number in range(1, servers + 1):
        name = f"server-{number}"
        arguments = ["serve", "--data", str(house.data), "--port", "0", *allowed]
        more = {"EVENSTOCK_DATABASE_URL": far} if far is not None and number == servers else {}
        house.servers.append(Program(name, arguments, house.folder / f"{name}.log", house.environ | more))
    await house.up(house.servers[0])
    await together(_key(house), *(house.up(server) for server in house.servers[1:]))
    for server in house.servers:
        await house.ready(server)
        house.lines[FRONT].leads_to.append(house.addresses[server.name])


async def _key(house: House) -> None:
    """One for everybody; what agents send under it and the hub refuses is kept."""
    arguments = ("keys", "create", "--name", "estate", "--scope", "*", "--device", "--data", str(house.data))
    made = await asyncio.to_thread(house.evenstock, *arguments)
    house.key = made["key"]


async def _agents(house: House, number: int) -> None:
    key = house.folder / "agents.key"
    key.touch(0o600)
    key.write_text(house.key, encoding="ascii")
    await together(*(_agent(house, nth, key) for nth in range(1, number + 1)))


async def _agent(house: House, nth: int, key: Path) -> None:
    name = f"agent-{nth}"
    line = house.lines[name]
    line.leads_to = [house.addresses[server.name] for server in house.servers]
    where = ["--data", str(house.folder / name), "--hub", line.url, "--key-file", str(key)]
    arguments = ["edge", "run", *where, "--name", name, "--port", "0"]
    program = Program(name, arguments, house.folder / f"{name}.log", house.environ)
    house.agents.append(program)
    await house.up(program)
    house.lines[f"tills-{nth}"].leads_to = [house.addresses[name]]
