"""The reference pages that are made from the code; run as a program it writes them, the tests compare them."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import typer

from evenstock import clock
from evenstock.api.app import OPERATIONS
from evenstock.api.openapi import schema_hook
from evenstock.cli import edge
from evenstock.connectors.faults import KINDS
from evenstock.connectors.found import sandboxes as sandboxes_found
from evenstock.core.bodies import BODY_BYTES_MAX
from evenstock.core.causes import ABOUT
from evenstock.core.errors import MEANINGS
from evenstock.core.events import EVENT_TYPES
from evenstock.core.reading import BATCH_EVENTS_MAX
from evenstock.edge import door as agent_door
from evenstock.edge import folder, numbering, store, verdict

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
MADE = "<!-- made by script/docs; edit the code instead -->"


def errors() -> Iterator[str]:
    """Every code, by family."""
    yield from ("# Error codes", "", MADE, "")
    yield "Codes are never renamed or reused. Branch on the family (the part before the dot) when you meet one you do not know."
    family = ""
    for code in sorted(MEANINGS):
        meaning = MEANINGS[code]
        if code.partition(".")[0] != family:
            family = code.partition(".")[0]
            yield from ("", f"## {family}", "", "| code | status | means | do |", "|---|---|---|---|")
        again = " Trying again can help." if meaning.retryable else ""
        yield f"| `{code}` | {meaning.status} | {meaning.title} | {meaning.action}{again} |"


def exceptions() -> Iterator[str]:
    """Every cause of an exception."""
    yield from ("# Exceptions", "", MADE, "")
    yield "One for each cause; it closes by a fact, never by a click. What each is called and what to do: [error codes](errors.md)."
    yield from (
        "",
        "| cause | one for | is anything lost? | what happens next by itself |",
        "|---|---|---|---|",
    )
    for code, about in sorted(ABOUT.items()):
        yield f"| `{code}` | {about.grouped_by} | {about.safe} | {about.next} |"


def events() -> Iterator[str]:
    """Every kind of fact and its fields."""
    yield from ("# Events", "", MADE, "")
    yield "CloudEvents 1.0 in JSON. `id` is the key, `source` the connection, `time` when it happened; `sequence`, `stream`, `epoch` and"
    yield "`traceparent` are optional extensions. Quantities are positive decimals in `uom` (default: the item's base unit)."
    for kind in EVENT_TYPES:
        data = next(field for field in msgspec.structs.fields(kind) if field.name == "data").type
        yield from (
            "",
            f"## {kind.__struct_config__.tag}",
            "",
            str(inspect.getdoc(kind)),
            "",
            "| field of `data` | required | type |",
        )
        yield "|---|---|---|"
        yield from _fields(data)


def _fields(data: Any, prefix: str = "") -> Iterator[str]:
    schemas, components = msgspec.json.schema_components([data], schema_hook=schema_hook)
    del schemas
    fields = components[data.__name__]
    for name, schema in fields["properties"].items():
        required = "yes" if name in fields.get("required", ()) else ""
        yield f"| `{prefix}{name}` | {required} | {_type(schema)} |"
        if name == "lines":
            some = next(each for each in schema.get("anyOf", [schema]) if "items" in each)
            line = components[some["items"]["$ref"].rsplit("/", 1)[1]]
            for inner, described in line["properties"].items():
                needed = "yes" if inner in line.get("required", ()) else ""
                yield f"| `{prefix}lines[].{inner}` | {needed} | {_type(described)} |"


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        kinds = [_type(entry) for entry in schema["anyOf"] if entry.get("type") != "null"]
        return "decimal" if set(kinds) == {"number", "string"} else " or ".join(kinds)
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if "$ref" in schema:
        return str(schema["$ref"].rsplit("/", 1)[1])
    return "instant" if schema.get("format") == "date-time" else str(schema.get("type", "any"))


def api() -> Iterator[str]:
    """Every operation."""
    yield from ("# HTTP API", "", MADE, "")
    yield "The whole contract is at `/openapi.json` (OpenAPI 3.1). `Authorization: Bearer evk_…` unless no scope is named."
    yield from ("", "| call | does | scope |", "|---|---|---|")
    for operation in OPERATIONS:
        scope = f"`{operation.scope}`" if operation.scope else ""
        yield f"| `{operation.method} {operation.path}` | {operation.summary}. {operation.description} | {scope} |"


def store_agent() -> Iterator[str]:
    """The agent's options and limits."""
    yield from ("# The store agent", "", MADE, "")
    yield "How to use it: [run a store agent](../how-to/run-a-store-agent.md). Each option of `evenstock edge run` is also a variable."
    for name, command in typer.main.get_command(edge.app).commands.items():  # type: ignore[attr-defined]  # a group
        yield from ("", f"## evenstock edge {name}", "", command.help, "", "| option | |", "|---|---|")
        for option in command.params:
            yield f"| `{option.opts[0]}` | {option.help} |"
    yield from ("", "## Limits", "", "| what | limit | beyond it |", "|---|---|---|")
    for what, limit, beyond in _agent_limits():
        yield f"| {what} | {limit} | {beyond} |"


def _agent_limits() -> Iterator[tuple[str, str, str]]:
    mb = 2**20
    refused = "refused with"
    yield (
        "one request of a till",
        f"{BATCH_EVENTS_MAX:,} events, {BODY_BYTES_MAX // mb} MB",
        f"{refused} `limit.batch`, `limit.body`",
    )
    yield "time for a body to arrive", f"{agent_door.BODY_WITHIN_S:g} s", f"{refused} `request.slow`"
    yield "bodies in memory at once", f"{agent_door.BODIES_BYTES_MAX // mb} MB", f"{refused} `agent.busy`"
    yield (
        "events that wait for the hub",
        f"{store.EVENTS_WAITING_MAX:,}",
        f"{refused} `agent.full`; nothing is dropped",
    )
    yield (
        "room for the store",
        "`--disk-mb`",
        f"what is kept for proof goes first, then {refused} `agent.full`",
    )
    yield "room left on the disk", f"{store.DISK_FREE_MIN_BYTES // mb} MB", f"{refused} `agent.full`"
    yield (
        "a file",
        f"{folder.FILE_EVENTS_MAX:,} events, {folder.FILE_BYTES_MAX // mb} MB",
        "set aside with `limit.file`",
    )
    yield (
        "one request to the hub",
        f"{verdict.BATCH_MAX:,} events, {verdict.BATCH_BYTES_MAX // mb} MB",
        "the rest goes next",
    )
    yield (
        "waiting between two tries",
        f"up to {verdict.AGAIN_MAX_S:g} s, at random",
        "where the hub names a time, at least that, up to 15 min",
    )
    yield "waiting where a person must mend something", f"{verdict.BLOCKED_AGAIN_S:g} s", "tried again"
    yield (
        "failures of the hub over one event alone",
        f"{verdict.FAULTS_OF_ONE_MAX}",
        "kept and shown as rejected with `hub.bug`",
    )
    yield "without a sign of life", f"{numbering.LIFE_GAP_MAX.total_seconds() / 3600:g} h", "a new epoch"
    yield "rejected events", f"{store.REJECTED_KEPT.days} days", "removed"
    yield "other forwarded events, archived files", "`--keep-days`", "removed"


def sandboxes() -> Iterator[str]:
    """Every sandbox, its faults and its controls."""
    yield from ("# Sandboxes", "", MADE, "")
    yield "How to use them: [rehearse against a sandbox](../how-to/rehearse-against-a-sandbox.md). `evenstock sandbox NAME` runs one."
    yield from ("", "## Faults of every sandbox", "", *_table("fault", KINDS))
    yield from ("", "## Controls of every sandbox", "")
    yield "`GET /sandbox/state` is all that it remembers, `GET /sandbox/log` what was asked of it, `GET` and `PUT /sandbox/faults` its faults:"
    yield "`rates` (chance by kind), `next` (strike first, one a request), `on` (only operations that hold this text), `slow_s`,"
    yield "`retry_after_s`, `seed`. `POST /sandbox/redeliver` sends the webhooks again that nobody took, as vendors do for hours."
    yield "The others are `POST`ed, with JSON."
    for name, make in sorted(sandboxes_found().items()):
        sandbox = make(clock.now)
        yield from ("", f"## {name}", "", *_table("fault of its own", sandbox.kinds), "")
        controls = {f"POST /sandbox/{name}": str(inspect.getdoc(do)) for name, do in sandbox.controls.items()}
        yield from _table("control", controls)


def _table(head: str, rows: Mapping[str, str]) -> Iterator[str]:
    yield from (f"| {head} | |", "|---|---|")
    for name, words in rows.items():
        yield f"| `{name}` | {' '.join(words.split())} |"


PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "errors.md": errors,
    "events.md": events,
    "exceptions.md": exceptions,
    "api.md": api,
    "store-agent.md": store_agent,
    "sandboxes.md": sandboxes,
}


def text(page: str) -> str:
    """The page as it should be."""
    return "\n".join(PAGES[page]()) + "\n"


if __name__ == "__main__":
    for page in PAGES:
        (FOLDER / page).write_text(text(page), encoding="utf-8")
