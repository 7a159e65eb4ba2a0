"""check, apply, model: the estate as a file in git, checked as a whole before any of it takes effect."""

import sys
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from evenstock import wiring
from evenstock.api.channels import ChannelBatch, ConnectionBatch, make_channels, make_connections
from evenstock.api.masters import BATCH_MAX, LocationBatch, make_locations
from evenstock.api.owners import OwnerBatch, OwnerInput, make_owners
from evenstock.cli.config_file import Configuration, Mistake, read_configuration
from evenstock.cli.config_plan import Plan, plan_of
from evenstock.cli.talk import (
    Data,
    DatabaseUrl,
    Exit,
    Json,
    Schema,
    answer_json,
    err,
    fail,
    out,
    read_settings,
    run,
    say,
)
from evenstock.connectors.found import found
from evenstock.core.errors import Refusal
from evenstock.core.owning import DOMAINS, Dispute
from evenstock.pipeline.vault import Vault
from evenstock.postgres import configured
from evenstock.postgres.database import Database

SIGNS: Final = {"create": "+", "change": "~", "nothing": "="}

File = Annotated[Path, typer.Option("--file", help="The configuration; mappings/ lies beside it.")]
DEFAULT: Final = Path("evenstock.toml")


def register(app: typer.Typer) -> None:
    app.command()(check)
    app.command()(apply)
    app.command()(model)


def check(file: File = DEFAULT, as_json: Json = False) -> None:
    """Everything that is wrong with the configuration, at once: 0 when nothing is, 2 otherwise. No hub is needed."""
    wanted, mistakes = _read(file)
    if as_json:
        answer_json({"ok": not mistakes, "mistakes": mistakes})
    if mistakes:
        _refuse(mistakes, quiet=as_json)
    if not as_json:
        out.print(f"✓ {file}: {_counts(wanted)}; nothing is wrong with it", markup=False)


def apply(
    file: File = DEFAULT,
    plan: Annotated[bool, typer.Option("--plan", help="Show what would change, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask on a terminal.")] = False,
    data: Data = None,
    database_url: DatabaseUrl = None,
    schema: Schema = None,
    as_json: Json = False,
) -> None:
    """Make the hub what the configuration says. Nothing is deleted: what is not in the file stays, and is named."""
    wanted, mistakes = _read(file)
    if mistakes:
        _refuse(mistakes, quiet=False)
    settings = read_settings(data=data, database_url=database_url, schema=schema)
    disputed: list[Dispute] = []
    with wiring.database(settings, say) as database:
        found = run(_plan(database, wanted))
        if not as_json:
            _show(found)
        if not plan and found.changes:
            if sys.stdin.isatty() and not yes and not typer.confirm("Apply?", err=True):
                fail("Nothing was changed.", Exit.INTERRUPTED)
            try:
                disputed = run(_apply(database, wiring.vault(settings), wanted, found))
            except Refusal as refusal:
                fail(
                    f"{refusal.problem.detail} {refusal.problem.meaning.action} What stands above it in the plan may be applied; "
                    "apply again goes on.",
                    Exit.PARTLY,
                )
    if as_json:
        answer_json({"applied": not plan, "steps": found.steps, "not_in_file": found.not_in_file})
    elif not plan and found.changes:
        err.print(f"Applied {len(found.changes)}. Hubs that run know it within 5 seconds.")
        for dispute in disputed:
            who = " and ".join(dispute.claimants)
            words = f"{dispute.domain} ({dispute.scope}) is claimed by {who}: nothing is done there until one is left."
            err.print(words, markup=False)


def model(file: File = DEFAULT, as_json: Json = False) -> None:
    """Who originates facts, who is right about what, who is told, and who works where."""
    wanted, mistakes = _read(file)
    if mistakes:
        _refuse(mistakes, quiet=False)
    owners: dict[str, dict[str, str]] = {domain: {} for domain in DOMAINS}
    for claim in wanted.claims:
        owners[claim.domain][claim.scope] = claim.claimant
    originates: list[dict[str, Any]] = [
        {"connection": each.id, "connector": each.connector, "events": events}
        for each in wanted.connections
        if (events := _events(each.connector, each.settings)) is not None
    ]
    told = [
        {"channel": each.id, "connection": each.connection, "locations": each.locations}
        for each in wanted.channels
    ]
    works = [{"connection": each.id, "locations": each.works} for each in wanted.connections if each.works]
    if as_json:
        answer_json({"owners": owners, "originates": originates, "told": told, "works": works})
        return
    for domain, claimants in owners.items():
        words = ", ".join(
            owner if scope == "everywhere" else f"{owner} ({scope})" for scope, owner in claimants.items()
        )
        out.print(f"owns        {domain:<18} {words or 'nobody says'}", markup=False)
    for row in originates:
        kinds = ", ".join(row["events"]) or "what its connector or its key says"
        out.print(f"originates  {row['connection']:<18} {row['connector']}: {kinds}", markup=False)
    for channel in wanted.channels:
        to = channel.connection or "nobody yet"
        out.print(
            f"is told     {channel.id:<18} {to}, of {', '.join(channel.locations) or 'no location'}",
            markup=False,
        )
    for row in works:
        out.print(f"works       {row['connection']:<18} at {', '.join(row['locations'])}", markup=False)


def _events(connector: str, settings: dict[str, Any]) -> list[str] | None:
    """Which events a connection makes, as far as its mapping says; None for one that makes none."""
    known = found().get(connector)
    if known is not None and known.translate is None:
        return None
    rules = settings.get("mapping", {}).get("rule", [])
    return sorted({rule["event"] for rule in rules if "event" in rule})


def _read(file: Path) -> tuple[Configuration, list[Mistake]]:
    try:
        return read_configuration(file)
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}. Name it with --file.", Exit.USAGE)


def _refuse(mistakes: list[Mistake], *, quiet: bool) -> None:
    if not quiet:
        for mistake in mistakes:
            err.print(str(mistake), markup=False)
        number = f"{len(mistakes)} {'mistake' if len(mistakes) == 1 else 'mistakes'}"
        err.print(f"{number} · nothing is applied; what runs is unchanged", markup=False)
    raise typer.Exit(Exit.USAGE)


def _show(plan: Plan) -> None:
    for step in plan.steps:
        out.print(f"{SIGNS[step.action]} {step.action:<8} {step.kind} {step.id}", markup=False)
        for difference in step.differences:
            out.print(f"             {difference}", markup=False)
    for name in plan.not_in_file:
        out.print(f"  stays    {name}, which is not in the file", markup=False)
    if not plan.changes:
        out.print("Nothing to do: the hub is what the file says.")


def _counts(wanted: Configuration) -> str:
    counts = (
        (len(wanted.locations), "location"),
        (len(wanted.connections), "connection"),
        (len(wanted.channels), "channel"),
    )
    return ", ".join(f"{number:,} {word if number == 1 else word + 's'}" for number, word in counts)


async def _plan(database: Database, wanted: Configuration) -> Plan:
    async with wiring.session(database, "apply") as db:
        now = {
            "location": await configured.locations(db),
            "connection": await configured.connections(db),
            "channel": await configured.sales_channels(db),
            "owner": await configured.claims(db),
        }
    return plan_of(wanted, now)


async def _apply(database: Database, vault: Vault, wanted: Configuration, plan: Plan) -> list[Dispute]:
    """The same calls as the API's, in an order in which each finds what it names; what is disputed now. Raises Refusal."""
    locations = [each for each in wanted.locations if each.id in plan.ids("location")]
    connections = [each for each in wanted.connections if each.id in plan.ids("connection")]
    channels = [each for each in wanted.channels if each.id in plan.ids("channel")]
    claims = [
        msgspec.convert({"domain": each.domain, "scope": each.scope, "owner": each.claimant}, OwnerInput)
        for each in wanted.claims
        if f"{each.domain} {each.scope}" in plan.ids("owner")
    ]
    disputed: list[Dispute] = []
    async with wiring.hub(database, vault=vault) as hub:
        for start in range(0, len(locations), BATCH_MAX):
            await make_locations(hub, LocationBatch(locations[start : start + BATCH_MAX]))
        for start in range(0, len(connections), BATCH_MAX):
            await make_connections(hub, ConnectionBatch(connections[start : start + BATCH_MAX]))
        for start in range(0, len(channels), BATCH_MAX):
            await make_channels(hub, ChannelBatch(channels[start : start + BATCH_MAX]))
        for start in range(0, len(claims), BATCH_MAX):
            disputed = (await make_owners(hub, OwnerBatch(claims[start : start + BATCH_MAX]))).disputed
    return disputed
