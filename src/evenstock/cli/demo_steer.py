"""demo break, mend, speed, challenge, found: what another terminal tells a running demo."""

import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from evenstock.cli.demo_control import FILE, Ear
from evenstock.cli.talk import Exit, Json, answer_json, fail, out
from evenstock.estate.facts import SPEED_MAX
from evenstock.estate.steering import BREAKS, CHALLENGE_S, HIDDEN
from evenstock.settings import settings

WITHIN_S: Final = 30.0
FOLDERS: Final = "evenstock-demo-*"

Folder = Annotated[
    Path | None,
    typer.Option("--data", help="The demo's folder; the running one, if there is one.", show_default=False),
]
Store = Annotated[str | None, typer.Option("--at", help="At which store.", show_default=False)]


def register(app: typer.Typer) -> None:
    app.command("break")(break_)
    app.command()(mend)
    app.command()(speed)
    app.command()(challenge)
    app.command()(found)


def break_(
    what: Annotated[str | None, typer.Argument(help=f"One of: {', '.join(BREAKS)}.")] = None,
    at: Store = None,
    data: Folder = None,
    as_json: Json = False,
) -> None:
    """Break something in the running demo, and watch what the hub makes of it."""
    if what is None:
        for name, words in BREAKS.items():
            out.print(f"  {name:14} {words}", markup=False)
        return
    _told(_ask(data, "break", {"what": what, "at": at}), as_json=as_json)


def mend(
    what: Annotated[str, typer.Argument(help="What is broken.")], data: Folder = None, as_json: Json = False
) -> None:
    """Mend what was broken."""
    _told(_ask(data, "mend", {"what": what}), as_json=as_json)


def speed(
    times: Annotated[
        int | None,
        typer.Argument(
            min=1,
            max=SPEED_MAX,
            help="How many times faster than a real shop's time; without it, how fast it goes now.",
            show_default=False,
        ),
    ] = None,
    data: Folder = None,
    as_json: Json = False,
) -> None:
    """Let the running demo go faster or slower from now on."""
    answer = _ask(data, "speed", {"times": times})
    if as_json:
        answer_json(answer)
    else:
        out.print(f"×{answer['speed']}: {answer['speed']} minutes of shop life pass in a minute")


def challenge(data: Folder = None, as_json: Json = False) -> None:
    """Have problems planted in the running demo, and find them; or see how far you are."""
    _stands(_ask(data, "challenge", {}), as_json=as_json)


def found(
    what: Annotated[str, typer.Argument(help=f"What you think it is: {', '.join(HIDDEN)}.")],
    at: Store = None,
    data: Folder = None,
    as_json: Json = False,
) -> None:
    """Say what you found. What is right is mended; exit 3 when it is not right."""
    stands = _ask(data, "found", {"what": what, "at": at})
    if not as_json:
        out.print("✓ right, and mended" if stands["right"] else "✕ no")
    _stands(stands, as_json=as_json)
    if not stands["right"]:
        raise typer.Exit(Exit.PROBLEMS)


def _told(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        answer_json(answer)
    else:
        out.print(answer["words"], markup=False)


def _stands(stands: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        answer_json(stands)
        return
    number, planted, took = len(stands["found"]), stands["planted"], stands["seconds"]
    if not stands["on"]:
        out.print(f"{number} of {planted} found in {took:.0f} s, {stands['wrong']} wrong guesses")
        for what, at in stands["it_was"].items():
            out.print(f"  it was: {what}{f' --at {at}' if at else ''}", markup=False)
        return
    out.print(
        f"{planted} things are wrong from now on, {number} found; {stands['seconds_left']:.0f} s left of {CHALLENGE_S:.0f}"
    )
    for hint in stands["hints"]:
        out.print(f"  · {hint}", markup=False)
    out.print(f"Say what you find: evenstock demo found {'|'.join(HIDDEN)} [--at STORE]", markup=False)


def _ask(data: Path | None, name: str, body: dict[str, Any]) -> dict[str, Any]:
    """The running demo's answer; ends with words when there is none."""
    ear = _ear(data)
    request = urllib.request.Request(  # noqa: S310 - an address on this machine, which the demo wrote down
        f"{ear.url}/{name}", json.dumps(body).encode(), {"Authorization": f"Bearer {ear.key}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=WITHIN_S) as answer:  # noqa: S310 - the same
            decoded: dict[str, Any] = json.loads(answer.read())
            return decoded
    except urllib.error.HTTPError as error:
        with error:
            fail(json.loads(error.read())["detail"], Exit.USAGE)
    except OSError as error:
        fail(f"The demo does not answer: {error}. Is it still running?", Exit.UNAVAILABLE)


def _ear(data: Path | None) -> Ear:
    """Where the demo listens that is meant."""
    home = settings(
        {}, {name: text for name, text in os.environ.items() if name == "HOME" or name.startswith("XDG_")}
    )
    files = (
        [data.expanduser() / FILE] if data is not None else sorted(home.data.parent.glob(f"{FOLDERS}/{FILE}"))
    )
    running = [file for file in files if file.is_file()]
    if not running:
        fail("No demo is running. Start one in another terminal: evenstock demo", Exit.NOT_FOUND)
    if len(running) > 1:
        folders = ", ".join(str(file.parent) for file in running)
        fail(f"Several demos are running: {folders}. Name one with --data.", Exit.USAGE)
    return msgspec.json.decode(running[0].read_bytes(), type=Ear)
