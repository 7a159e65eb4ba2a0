"""The kit: what holds for every connector, tried on a connector's folder. Shipped, so that connectors elsewhere use it too.

    from evenstock.connectors.testing import cases

    @pytest.mark.parametrize("case", cases("path/to/my_till"), ids=str)
    def test_my_till(case):
        case()

The folder holds the code (`__init__.py` names `connector`), a README.md that explains each setting, and `fixtures/`:

    settings.json       what the connection is configured with; NAME.settings.json is for one message
    NAME.json           a message as the vendor sends it, byte for byte; any ending will do
    NAME.message.json   around it: {"name": "orders/paid", "headers": {…}}, where that matters
    NAME.events.json    the events it becomes, or
    NAME.problem.json   why it becomes none: {"code": …, "pointer": …}
"""

import ast
import copy
import importlib
import importlib.util
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import msgspec

from evenstock import connectors
from evenstock.connectors.contract import (
    Connector,
    HookSettings,
    JsonObject,
    Message,
    Translate,
    Untranslatable,
)
from evenstock.connectors.found import configured
from evenstock.connectors.signing import sign, verify
from evenstock.core.errors import MEANINGS, Refusal
from evenstock.core.reading import Refused, read_event

RECEIVED_AT: Final = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)
MUTANTS_MAX: Final = 1_500  # of one fixture
TEXTS_SHOWN_MAX: Final = 4_000  # characters of events in a complaint
NAME: Final = re.compile(r"[a-z][a-z0-9_]{1,39}")
MAY_IMPORT: Final = (
    "contract",
    "reading",
    "signing",
    "found",
    "brokered",
    "calling",
    "sandbox",
)  # of evenstock.connectors, beside evenstock.core and its own
ASIDE: Final = (".events.json", ".problem.json", ".message.json", ".settings.json")


def must(holds: object, words: str) -> None:
    """An assertion that holds with `python -O` too."""
    if not holds:
        raise AssertionError(words)


class Case(msgspec.Struct, frozen=True):
    """One claim about one connector. Calling it raises AssertionError, in words, when it does not hold."""

    folder: str
    claim: str
    check: Callable[[], None]

    def __call__(self) -> None:
        self.check()

    def __str__(self) -> str:
        return f"{self.folder}: {self.claim}"


class Fixture(msgspec.Struct, frozen=True):
    """A message of the folder, and what is expected of it."""

    path: Path

    @property
    def stem(self) -> str:
        return self.path.name.partition(".")[0]

    def beside(self, ending: str) -> Path:
        return self.path.with_name(self.stem + ending)

    def message(self, body: bytes | None = None, at: datetime = RECEIVED_AT) -> Message:
        around: dict[str, Any] = {}
        if self.beside(".message.json").exists():
            around = json.loads(self.beside(".message.json").read_bytes())
        given = self.path.read_bytes() if body is None else body
        return Message(given, at, around.get("headers", {}), around.get("name", ""))


def folders() -> list[Path]:
    """The folders of the connectors that come with Evenstock."""
    return sorted(path.parent for root in connectors.__path__ for path in Path(root).glob("*/__init__.py"))


def cases(folder: str | Path) -> list[Case]:
    """All claims about the connector in a folder; more where there are more fixtures."""
    path = Path(folder).resolve()
    claims: list[tuple[str, Callable[[Path], None]]] = [
        ("offers a connector of its folder's name", _offers),
        ("has what it says it can do", _can),
        ("explains every setting in its README", _explains),
        ("knows no other connector, and no room but core", _keeps_apart),
        ("has fixtures and their settings", _has_fixtures),
        ("asks for streams that have names and patience", _streams),
        ("verifies what its vendor signs", _verifies),
    ]
    found = [Case(path.name, claim, partial(check, path)) for claim, check in claims]
    for fixture in fixtures(path):
        found += [
            Case(path.name, f"{fixture.stem} becomes what is expected", partial(_becomes, path, fixture)),
            Case(path.name, f"{fixture.stem} becomes the same again, later", partial(_again, path, fixture)),
            Case(
                path.name,
                f"{fixture.stem}, damaged, is events or a problem",
                partial(_survives, path, fixture),
            ),
        ]
    return found


def fixtures(folder: Path) -> list[Fixture]:
    """The messages of a folder."""
    return [
        Fixture(path)
        for path in sorted((folder / "fixtures").glob("*"))
        if path.is_file() and path.name != "settings.json" and not path.name.endswith(ASIDE)
    ]


def load(folder: Path) -> Connector[Any]:
    """The connector of a folder, wherever it lies."""
    must((folder / "__init__.py").is_file(), f"{folder} has no __init__.py, so it is no connector.")
    offered = getattr(_module(folder), "connector", None)
    if not isinstance(offered, Connector):
        raise AssertionError(f"{folder.name}/__init__.py must name a Connector `connector`.")  # noqa: TRY004
    return offered


@cache
def _module(folder: Path) -> Any:
    if any(folder.parent == Path(root).resolve() for root in connectors.__path__):
        return importlib.import_module(f"{connectors.__name__}.{folder.name}")
    spec = importlib.util.spec_from_file_location(
        folder.name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise AssertionError(f"{folder} cannot be imported.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[folder.name] = module
    spec.loader.exec_module(module)
    return module


def translated(folder: Path, fixture: Fixture) -> list[JsonObject]:
    """What a fixture becomes, read as strictly as at the hub's door.

    Raises Untranslatable.
    """
    connector = load(folder)
    events = _translate_of(connector)(_settings(folder, fixture), fixture.message())
    for number, event in enumerate(events, 1):
        must(isinstance(event, dict), f"Event {number} is {type(event).__name__}, not a JSON object.")
        must(
            "source" not in event,
            f"Event {number} names a source; that is the connection, which the hub puts in.",
        )
        read = read_event({"specversion": "1.0", **event, "source": "kit"})
        if isinstance(read, Refused):
            words = f"Event {number} is refused: {read.problem.detail} ({read.problem.pointer})"
            raise AssertionError(words)  # noqa: TRY004 - a claim that does not hold
    ids = [event["id"] for event in events]
    must(len(set(ids)) == len(ids), f"Two events have one id: {ids}")
    return events


# The claims ----------------------------------------------------------------------------------------------------------


def _offers(folder: Path) -> None:
    connector = load(folder)
    must(NAME.fullmatch(connector.name), f"The name {connector.name!r} is not lower_case_words.")
    must(connector.name == folder.name, f"It is called {connector.name!r}, and its folder {folder.name!r}.")
    must(
        re.fullmatch(r"[A-Z].{8,118}\.", connector.summary),
        "The summary is one sentence of 10 to 120 characters.",
    )


def _can(folder: Path) -> None:
    connector = load(folder)
    must(
        connector.translate or connector.publish or connector.post or connector.command or connector.delivery,
        "It neither translates, publishes, posts, does what it is commanded, nor takes files.",
    )
    must(issubclass(connector.settings, msgspec.Struct), "Its settings are no record (msgspec.Struct).")
    if connector.hook is not None:
        must(connector.translate, "It takes webhooks and translates none.")
        must(
            issubclass(connector.settings, HookSettings),
            "It takes webhooks, so its settings extend HookSettings.",
        )
    if connector.translate:
        must(
            not inspect.iscoroutinefunction(connector.translate),
            "`translate` is a plain function: no I/O, no clock.",
        )
    if connector.publish:
        must(inspect.iscoroutinefunction(connector.publish), "`publish` is an async function.")
        must(connector.basis is not None, "It publishes, so it says what a number means there: basis.")
    for name in ("post", "command", "observe", "poll"):
        call = getattr(connector, name)
        must(call is None or inspect.iscoroutinefunction(call), f"`{name}` is an async function.")
    must(
        connector.snapshot is None or inspect.isasyncgenfunction(connector.snapshot),
        "`snapshot` is an async function that yields pages.",
    )
    must(connector.listen is None or connector.translate, "It listens, so it translates what it hears.")
    must(connector.poll is None or connector.translate, "It polls, so it translates what it brings.")
    must(
        (connector.poll is None) == (connector.streams is None),
        "It polls, so it says what it asks for: streams.",
    )
    fetches = (connector.delivery, connector.listen, connector.poll)
    must(
        sum(each is not None for each in fetches) <= 1, "It fetches in one way: files, a broker, or polling."
    )
    must(
        (connector.delivery is None) == (connector.shelf is None),
        "It takes files, so it says how (delivery) and from where (shelf).",
    )
    must(1 <= connector.exposures_max <= 10_000, "exposures_max is from 1 to 10,000.")


def _explains(folder: Path) -> None:
    readme = folder / "README.md"
    must(readme.is_file(), f"{folder.name} has no README.md.")
    text = readme.read_text(encoding="utf-8")
    for field in msgspec.structs.fields(load(folder).settings):
        must(
            f"`{field.encode_name}`" in text,
            f"{folder.name}/README.md does not explain `{field.encode_name}`.",
        )


def _keeps_apart(folder: Path) -> None:
    for path in sorted(folder.rglob("*.py")):
        for name in _imports(ast.parse(path.read_text(encoding="utf-8"))):
            words = f"{folder.name}/{path.relative_to(folder)} imports {name}"
            if name.split(".")[0] != "evenstock":
                must(
                    name.split(".")[0] not in {"asyncpg", "psycopg", "starlette"},
                    f"{words}: that is another room's.",
                )
                continue
            own = f"evenstock.connectors.{folder.name}"
            allowed = ["evenstock.core", own, *(f"evenstock.connectors.{each}" for each in MAY_IMPORT)]
            must(
                any(name == each or name.startswith(each + ".") for each in allowed),
                f"{words}; a connector knows evenstock.core, the contract, and nobody else.",
            )


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            must(node.level < 2, "A relative import leads out of the folder.")
            if node.level == 0 and node.module == "evenstock.connectors":
                yield from (f"evenstock.connectors.{alias.name}" for alias in node.names)
            elif node.level == 0:
                yield node.module or ""


def _has_fixtures(folder: Path) -> None:
    connector = load(folder)
    if connector.translate is None:
        return
    found = fixtures(folder)
    must(found, f"{folder.name}/fixtures has no message. Put real ones there, a sale and a return at least.")
    for fixture in found:
        _settings(folder, fixture)


def _streams(folder: Path) -> None:
    """As its fixtures are configured; a stream is known by its name for ever, and asked again with an overlap."""
    connector = load(folder)
    if connector.streams is None:
        return
    for fixture in fixtures(folder):
        streams = connector.streams(_settings(folder, fixture))
        names = [stream.name for stream in streams]
        must(len(set(names)) == len(names), f"Two streams have one name: {names}")
        for stream in streams:
            must(NAME.fullmatch(stream.name), f"The stream {stream.name!r} is not lower_case_words.")
            must(stream.every_s >= 1, f"{stream.name}: every_s is at least 1.")
            must(
                stream.overlap_s > 0,
                f"{stream.name}: overlap_s is above 0: systems show late what they date.",
            )


def _verifies(folder: Path) -> None:
    connector = load(folder)
    for fixture in fixtures(folder)[:1]:
        hook = connector.hook_of(_settings(folder, fixture))
        if hook is None:
            return
        body = fixture.path.read_bytes()
        headers = sign(hook, "a secret", "msg_1", RECEIVED_AT, body)
        must(all(name == name.lower() for name in headers), "The names of headers are in lower case.")
        verify(hook, ["a secret"], headers, body, RECEIVED_AT)
        for secret, sent in (("another", body), ("a secret", body + b" ")):
            try:
                verify(hook, [secret], headers, sent, RECEIVED_AT)
            except Refusal:
                continue
            raise AssertionError("A forged message passes for signed.")


def _becomes(folder: Path, fixture: Fixture) -> None:
    events, problem = fixture.beside(".events.json"), fixture.beside(".problem.json")
    try:
        found = translated(folder, fixture)
    except Untranslatable as error:
        must(error.code in MEANINGS, f"There is no code {error.code}; see core/errors.py.")
        told = {"code": error.code, "pointer": error.pointer}
        must(problem.exists(), f"{fixture.path.name} becomes no events: {error.detail} ({error.pointer})")
        must(json.loads(problem.read_bytes()) == told, f"{problem.name} is not what came: {told}")
        return
    shown = text_of(found)
    must(
        events.exists(),
        f"There is no {events.name}. These came; if they are true, keep them with "
        f"`evenstock connector test {folder} --write`:\n{shown[:TEXTS_SHOWN_MAX]}",
    )
    expected = json.loads(events.read_bytes(), parse_float=Decimal)
    must(
        json.loads(shown, parse_float=Decimal) == expected,
        f"{events.name} is not what came:\n{shown[:TEXTS_SHOWN_MAX]}",
    )


def text_of(events: list[JsonObject]) -> str:
    """Events as a fixture holds them."""
    encoded = msgspec.json.encode(events, order="deterministic") if events else b"[]"
    return msgspec.json.format(encoded, indent=2).decode() + "\n"


def _again(folder: Path, fixture: Fixture) -> None:
    connector, settings = load(folder), _settings(folder, fixture)
    first = _outcome(connector, settings, fixture.message())
    for later in (timedelta(0), timedelta(days=400)):
        again = _outcome(connector, settings, fixture.message(at=RECEIVED_AT + later))
        must(
            again == first,
            "The same message became something else; ids and times come from the message alone.",
        )


def _survives(folder: Path, fixture: Fixture) -> None:
    connector, settings = load(folder), _settings(folder, fixture)
    for what, body in damaged(fixture.path.read_bytes()):
        try:
            outcome = _outcome(connector, settings, fixture.message(body))
        except Exception as error:
            raise AssertionError(f"{what}: {type(error).__name__}: {str(error)[:300]}") from error
        for event in outcome if isinstance(outcome, list) else ():
            must(isinstance(event, dict), f"{what}: an event is {type(event).__name__}")
            read_event({"specversion": "1.0", **event, "source": "kit"})


def _outcome(
    connector: Connector[Any], settings: Any, message: Message
) -> list[JsonObject] | tuple[str, str]:
    """The events, or the code and pointer of the problem."""
    try:
        return _translate_of(connector)(settings, message)
    except Untranslatable as error:
        must(error.code in MEANINGS, f"There is no code {error.code}; see core/errors.py.")
        return error.code, error.pointer


def _translate_of(connector: Connector[Any]) -> Translate[Any]:
    if connector.translate is None:
        raise AssertionError("It has fixtures and translates nothing.")
    must(
        not inspect.iscoroutinefunction(connector.translate),
        "`translate` is a plain function: no I/O, no clock.",
    )
    return connector.translate


def _settings(folder: Path, fixture: Fixture) -> Any:
    connector = load(folder)
    path = fixture.beside(".settings.json")
    path = path if path.exists() else folder / "fixtures" / "settings.json"
    must(path.is_file(), f"{folder.name} has no fixtures/settings.json.")
    try:
        return _converted(connector, json.loads(path.read_bytes()))
    except (Refusal, msgspec.ValidationError) as error:
        raise AssertionError(f"{path.name} does not fit the settings: {error}") from None


def _converted(connector: Connector[Any], settings: Any) -> Any:
    """The settings as the hub reads them; a connector that is not installed is read by its own record."""
    try:
        found = configured(connector.name, settings)
    except Refusal as refusal:
        if refusal.problem.code != "connector.unknown":
            raise
        return msgspec.convert(settings, connector.settings)
    return found[1] if found else None


# Damage --------------------------------------------------------------------------------------------------------------

WRONG: Final[tuple[Any, ...]] = (
    None,
    True,
    -1,
    0,
    10**30,
    "",
    "x\u0000\u202e",
    "9" * 400,
    [],
    {},
    [[[]]],
    {"a": {"b": []}},
)


def damaged(body: bytes) -> Iterator[tuple[str, bytes]]:
    """A message in all the ways in which messages arrive damaged, each with what was done to it."""
    yield "empty", b""
    yield "no text", b"\xff\xfe\x00\x80" * 8
    yield "a NUL", body[: len(body) // 2] + b"\0" + body[len(body) // 2 :]
    yield "twice", body + body
    yield "nested deeply", b"[" * 100_000
    yield "a bare number", b"1e999999"
    yield "endless digits", b'{"id":' + b"9" * 100_000 + b"}"
    for part in range(1, 24):
        yield f"cut at {part}/24", body[: len(body) * part // 24]
    try:
        value = json.loads(body)
    except ValueError:
        return
    paths = list(_paths(value, ()))
    step = max(1, len(paths) * (len(WRONG) + 1) // MUTANTS_MAX)
    for number, (path, wrong) in enumerate((path, wrong) for path in paths for wrong in (*WRONG, _paths)):
        if number % step == 0:
            yield (
                f"{'/'.join(map(str, path))} {'left out' if wrong is _paths else f'as {str(wrong)[:20]!r}'}",
                _with(value, path, wrong),
            )


def _paths(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    entries: Any = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    yield path
    for name, inner in entries:
        yield from _paths(inner, (*path, name))


def _with(value: Any, path: tuple[Any, ...], wrong: Any) -> bytes:
    """The value with something else at a path, or without it."""
    if not path:
        return json.dumps(None if wrong is _paths else wrong).encode()
    changed = copy.deepcopy(value)
    place = changed
    for step in path[:-1]:
        place = place[step]
    if wrong is _paths:
        del place[path[-1]]
    else:
        place[path[-1]] = wrong
    return json.dumps(changed).encode()
