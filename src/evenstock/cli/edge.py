"""edge run, edge status: the store agent. It runs in a shop and loads nothing of the hub."""

import os
import random
import socket
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer

from evenstock import clock, log
from evenstock.address import AddressTaken, bound
from evenstock.cli.talk import Exit, Json, answer_json, fail, out, run, say
from evenstock.edge.report import NoAgent, Report, report
from evenstock.settings import LOOPBACK, AgentSettings, SettingsWrong, agent_settings

QUARANTINE: Final = "quarantine"

app = typer.Typer(
    help="The store agent: keeps what tills report while the line is down, and forwards it in order.",
    no_args_is_help=True,
)

AgentData = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of the agent's store. [EVENSTOCK_DATA]", show_default=False),
]
Drop = Annotated[
    Path | None,
    typer.Option("--folder", help="Take files of events from here. [EVENSTOCK_FOLDER]", show_default=False),
]


@app.command("run")
def run_agent(
    data: AgentData = None,
    hub: Annotated[str | None, typer.Option(help="URL of the hub. [EVENSTOCK_HUB]")] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            help="File with the agent's key at the hub. [EVENSTOCK_KEY_FILE, or EVENSTOCK_KEY itself]"
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port for tills, 8081; 0 lets the system choose. [EVENSTOCK_PORT]")
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(help="Address for tills; other than local needs --local-key-file. [EVENSTOCK_HOST]"),
    ] = None,
    local_key_file: Annotated[
        Path | None, typer.Option(help="File with the key that tills must show. [EVENSTOCK_LOCAL_KEY_FILE]")
    ] = None,
    folder: Drop = None,
    name: Annotated[
        str | None, typer.Option(help="What the hub calls this agent; the machine's name. [EVENSTOCK_NAME]")
    ] = None,
    disk_mb: Annotated[int | None, typer.Option(help="Room for the store, 2048. [EVENSTOCK_DISK_MB]")] = None,
    keep_days: Annotated[
        int | None,
        typer.Option(help="What was forwarded is kept so long for proof, 30. [EVENSTOCK_KEEP_DAYS]"),
    ] = None,
    plain_http: Annotated[
        bool | None,
        typer.Option("--plain-http", help="Reach a hub elsewhere without TLS. [EVENSTOCK_PLAIN_HTTP]"),
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error. [EVENSTOCK_LOG_LEVEL]")
    ] = None,
) -> None:
    """Run the agent: tills report to it, it reports to the hub."""
    found = _settings(
        data=data, hub=hub, key_file=key_file, port=port, host=host, local_key_file=local_key_file, folder=folder,
        name=name, disk_mb=disk_mb, keep_days=keep_days, plain_http=plain_http, log_level=log_level,
    )  # fmt: skip
    from evenstock.edge import agent  # noqa: PLC0415 - `status` needs no HTTP
    from evenstock.edge.line import NoKey, read_key  # noqa: PLC0415
    from evenstock.edge.store import Limits  # noqa: PLC0415

    try:
        if isinstance(key := _key(found), Path):
            read_key(key)
        plan = agent.Plan(
            data=found.data,
            hub=_hub(found),
            key=key,
            name=_name(found),
            local_key=None if found.local_key_file is None else read_key(found.local_key_file),
            folder=found.folder,
            limits=Limits(found.disk_mb * 2**20),
            keep=timedelta(days=found.keep_days),
        )
        world = agent.World(clock.now, random.SystemRandom().random)
        with bound(found.host, found.port) as listener, agent.claimed(found.data):
            run(agent.run(plan, world, listener, say))
    except NoKey as error:
        fail(str(error), Exit.USAGE)
    except (agent.FolderTaken, AddressTaken) as error:
        fail(str(error), Exit.CONFLICT)
    except OSError as error:
        fail(f"The store in {found.data} cannot be opened: {error}.", Exit.UNAVAILABLE)


def _settings(**options: object) -> AgentSettings:
    """The settings of this call; the log is set up with them."""
    found = agent_settings(options, os.environ)
    log.configure(found.log_level)
    return found


def _hub(found: AgentSettings) -> str:
    if found.hub is None:
        raise SettingsWrong("The agent needs to know its hub: --hub https://hub.example (EVENSTOCK_HUB).")
    return found.hub


def _key(found: AgentSettings) -> str | Path:
    """The key for the hub, or the file that holds it.

    Raises SettingsWrong.
    """
    if found.local_key_file is None and found.host not in LOOPBACK:
        raise SettingsWrong(
            f"Whoever reaches {found.host} could report sales: give tills a key, --local-key-file FILE, or listen on 127.0.0.1."
        )
    if found.folder is not None and not found.folder.is_dir():
        raise SettingsWrong(f"--folder (EVENSTOCK_FOLDER) is {found.folder}, and that is no folder.")
    key = found.key_file or found.key
    if key is None:
        raise SettingsWrong(
            "The agent needs its key at the hub: --key-file FILE (EVENSTOCK_KEY_FILE), or EVENSTOCK_KEY. "
            "Make one there: evenstock keys create --name NAME --scope events:write --device."
        )
    return key


def _name(found: AgentSettings) -> str:
    name = found.name or socket.gethostname()
    if not name.isascii() or not name.isprintable() or len(name) > 128:
        raise SettingsWrong("--name (EVENSTOCK_NAME) is at most 128 printable ASCII characters.")
    return name


@app.command()
def status(data: AgentData = None, folder: Drop = None, as_json: Json = False) -> None:
    """How many events wait and since when, and what a person should see to. Exit 3 when there is something."""
    found = _settings(data=data, folder=folder)
    try:
        stands = report(found.data, None if found.folder is None else found.folder / QUARANTINE)
    except NoAgent as error:
        fail(str(error), Exit.NOT_FOUND)
    if as_json:
        answer_json(stands)
    else:
        _show(stands, clock.now())
    if stands.needs_a_person:
        sys.exit(Exit.PROBLEMS)


def _show(stands: Report, now: datetime) -> None:
    size = f"{stands.waiting_bytes / 2**20:,.1f} MB"
    oldest = f", the oldest for {_duration(stands.oldest_at, now)}" if stands.oldest_at else ""
    out.print(f"agent        {'running' if stands.running else 'not running'}")
    out.print(f"waiting      {stands.waiting:,} events, {size}{oldest}")
    outcomes = ", ".join(f"{number:,} {outcome}" for outcome, number in sorted(stands.forwarded.items()))
    out.print(f"forwarded    {outcomes or 'nothing yet'}")
    contact = f"{_duration(stands.contact_at, now)} ago" if stands.contact_at else "never"
    out.print(f"hub          {contact}")
    if stands.trouble and stands.trouble_since:
        word = "blocked" if stands.blocked else "away"
        out.print(
            f"             {word} for {_duration(stands.trouble_since, now)}: {stands.trouble}", markup=False
        )
    if stands.clock_offset_s is not None:
        out.print(
            f"clock        {stands.clock_offset_s:+,.1f} s against the hub's, give or take {stands.clock_offset_within_s:.1f} s"
        )
    out.print(f"numbers      epoch {stands.epoch}, because {stands.epoch_why}")
    out.print(f"store        {stands.store_bytes / 2**20:,.1f} MB")
    for event in stands.rejected:
        out.print(f"rejected     {event.source} {event.id}: {event.code} {event.detail}", markup=False)
    for words in stands.needs_a_person:
        out.print(f"✕ {words}", markup=False)


def _duration(since: str, now: datetime) -> str:
    seconds = max(0, int((now - datetime.fromisoformat(since)).total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def main() -> None:
    """Run a command of the agent by itself, without loading the hub's."""
    try:
        app(args=sys.argv[2:], prog_name="evenstock edge")
    except SettingsWrong as error:
        fail(str(error), Exit.USAGE)
