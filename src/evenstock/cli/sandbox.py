"""sandbox: a vendor's system that is not there, to rehearse against."""

from pathlib import Path
from typing import Annotated

import typer

from evenstock import clock
from evenstock.address import bound, url_of
from evenstock.cli.talk import Exit, fail, run, say
from evenstock.connectors.faults import KINDS, Faults, UnknownFault
from evenstock.connectors.found import sandboxes
from evenstock.connectors.sandbox import Misused, Sandbox, application, remembered, server

LOOPBACK = "127.0.0.1"


def register(app: typer.Typer) -> None:
    app.command()(sandbox)


def sandbox(
    name: Annotated[str, typer.Argument(help="Of a connector that has one: shopify, erp_rest, http_json.")],
    port: Annotated[int, typer.Option(help="Port to listen on; 0 lets the system choose.", max=65535)] = 0,
    host: Annotated[
        str, typer.Option(help="Address to listen on; whoever reaches it controls it.")
    ] = LOOPBACK,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="KIND=CHANCE, as in 429=0.1; repeat. `list` as the only one names the kinds."),
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="File in which it remembers; without one it forgets at the end.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of chance: the same seed, the same faults.")] = 0,
) -> None:
    """Run a vendor's sandbox: its interface, with stock, and with the faults it is told to have.

    It is controlled below /sandbox/ while it runs; docs/how-to/rehearse-against-a-sandbox.md shows how.
    """
    found = sandboxes()
    if name not in found:
        fail(f"There is no sandbox {name!r}. There are: {', '.join(sorted(found))}.", Exit.NOT_FOUND)
    made: Sandbox = found[name](clock.now)
    kinds = KINDS | dict(made.kinds)
    if fault == ["list"]:
        for kind, words in kinds.items():
            typer.echo(f"{kind:<14} {words}")
        return
    faults = Faults(rates=dict(_rate(text) for text in fault or ()))
    if state is not None:
        if not state.absolute().parent.is_dir():
            fail(f"There is no folder {state.absolute().parent} for the file of --state.", Exit.USAGE)
        try:
            made.state = remembered(state, type(made.state)) or made.state
        except Misused as error:
            fail(str(error), Exit.USAGE)
    try:
        app = application(made, seed=seed, keep=state, faults=faults)
    except UnknownFault as error:
        fail(str(error), Exit.USAGE)
    with bound(host, port) as listener:
        listener.listen()
        say(f"{name}: listening on {url_of(listener)}")
        run(server(app).serve([listener]))


def _rate(text: str) -> tuple[str, float]:
    """KIND=CHANCE, or KIND alone for always; else the end of the command in words."""
    kind, _, chance = text.partition("=")
    try:
        rate = float(chance or "1")
    except ValueError:
        rate = -1.0
    if not 0 <= rate <= 1:
        fail(f"--fault {text}: write KIND=CHANCE with a chance from 0 to 1, as in 429=0.1.", Exit.USAGE)
    return kind, rate
