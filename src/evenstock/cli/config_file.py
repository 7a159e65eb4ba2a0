"""evenstock.toml: read as a whole, so that everything that is wrong with it is said at once, by file and line.

Each `[[location]]`, `[[connection]]` and `[[channel]]` is what its batch call takes, so what the API can do, the file can.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from evenstock.api.channels import ChannelInput, ConnectionInput, works_nowhere
from evenstock.api.masters import LocationInput, check_location
from evenstock.connectors.found import WITHOUT_CODE, configured, found
from evenstock.core.errors import Refusal
from evenstock.core.mapping import near, read_mapping
from evenstock.core.owning import DOMAINS, EVERYWHERE, HUB, REST, SCOPED_BY, is_only_ours
from evenstock.core.reading import is_identifier, problem_of

TABLES: Final = ("estate", "owners", "location", "connection", "channel")
ESTATE: Final = ("name", "timezone")

OF_CONNECTION: Final = frozenset(ConnectionInput.__struct_fields__) - {
    "settings"
}  # all else is its connector's

T = TypeVar("T", bound=msgspec.Struct)
_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r'^\s*(?:"([^"]+)"|\'([^\']+)\'|([A-Za-z0-9_-]+))\s*[.=]')


class Mistake(msgspec.Struct, frozen=True, order=True):
    """Something that must be changed before the file takes effect."""

    file: str
    line: int
    words: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}  {self.words}"


class Claim(msgspec.Struct, frozen=True):
    """Who is said to be right about something, and where in the file."""

    domain: str
    scope: str  # EVERYWHERE, REST, or a location
    claimant: str
    line: int


class Configuration(msgspec.Struct):
    """What a file says."""

    estate: str = ""
    locations: list[LocationInput] = []
    connections: list[ConnectionInput] = []
    channels: list[ChannelInput] = []
    claims: list[Claim] = []

    @property
    def ids(self) -> list[str]:
        return [connection.id for connection in self.connections]


def read_configuration(path: Path) -> tuple[Configuration, list[Mistake]]:
    """What a file says, and all that is wrong with it, from the top.

    Raises OSError when it cannot be read.
    """
    reader = _Reader(path)
    reader.read()
    return reader.found, sorted(set(reader.mistakes))


class _Places:
    """Where tables and their keys begin: tomllib does not tell."""

    def __init__(self, text: str) -> None:
        self._lines: dict[tuple[str, int, str], int] = {}
        counts: dict[str, int] = {}
        table, index = "", 0
        for number, line in enumerate(text.splitlines(), 1):
            if header := _HEADER.match(line):
                table = header[2].strip("\"'")
                counts[table] = index = counts.get(table, -1) + 1
                self._lines[table, index, ""] = number
            elif key := _KEY.match(line):
                self._lines.setdefault((table, index, key[1] or key[2] or key[3]), number)

    def line(self, table: str, index: int = 0, key: str = "") -> int:
        """The line of a key, else of its table, else the first."""
        return (
            self._lines.get((table, index, key))
            or self._lines.get((table, index, ""))
            or self._lines.get(("", 0, table), 1)
        )


class _Reader:
    """Reads one file; goes on after a mistake, so that all are found."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._content: dict[str, Any] = {}
        self._places = _Places("")
        self.found = Configuration()
        self.mistakes: list[Mistake] = []

    def read(self) -> None:
        try:
            text = self._path.read_text(encoding="utf-8")
            self._content = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            line = re.search(r"at line (\d+)", str(error))
            words = f"no TOML: {error}."
            self.mistakes.append(Mistake(self._path.name, int(line[1]) if line else 1, words))
            return
        self._places = _Places(text)
        for table in self._content:
            if table not in TABLES:
                self._wrong(f"there is no table {table}. {near(table, TABLES)}", table)
        self._estate()
        self._locations()
        self._connections()
        self._codes()
        self._fit_settings()
        self._works()
        self._channels()
        self._owners()
        self._channel_references()

    def _wrong(self, words: str, table: str, index: int = 0, key: str = "") -> None:
        self.mistakes.append(Mistake(self._path.name, self._places.line(table, index, key), words))

    def _tables(self, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
        tables = self._content.get(name, [])
        if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
            self._wrong(f"write it as [[{name}]], once for each.", name)
            return
        seen: set[str] = set()
        for index, table in enumerate(tables):
            id_ = table.get("id")
            if isinstance(id_, str) and id_ in seen:
                self._wrong(f"the {name} {id_!r} stands twice.", name, index, "id")
                continue
            if isinstance(id_, str):
                seen.add(id_)
            if isinstance(id_, str) and not is_identifier(id_):
                self._wrong(
                    f"the id {id_!r} has characters that an identifier may not have.", name, index, "id"
                )
                continue
            yield index, table

    def _record(
        self, kind: type[T], table: dict[str, Any], name: str, index: int, aside: tuple[str, ...] = ()
    ) -> T | None:
        """A table as the record that the API takes."""
        known = [field.encode_name for field in msgspec.structs.fields(kind)]
        whole = True
        for key in table:
            if key not in known:
                self._wrong(f"a {name} has no {key}. {near(key, [*known, *aside])}", name, index, key)
                whole = False
        if not whole:
            return None
        try:
            return msgspec.convert(table, kind)
        except msgspec.ValidationError as error:
            problem = problem_of(error, code="request.malformed")
            key = problem.pointer.split("/")[1] if problem.pointer else ""
            self._wrong(f"{key + ': ' if key else ''}{problem.detail}", name, index, key)
            return None

    def _estate(self) -> None:
        estate = self._content.get("estate", {})
        for key, value in estate.items() if isinstance(estate, dict) else ():
            if key not in ESTATE:
                self._wrong(f"an estate has no {key}. {near(key, ESTATE)}", "estate", 0, key)
            elif not isinstance(value, str):
                self._wrong(f"{key} is a text.", "estate", 0, key)
        self.found.estate = str(estate.get("name", "")) if isinstance(estate, dict) else ""

    def _locations(self) -> None:
        estate = self._content.get("estate", {})
        zone = estate.get("timezone", "UTC") if isinstance(estate, dict) else "UTC"
        found = []
        for index, table in self._tables("location"):
            plain = {key: value for key, value in table.items() if key != "codes"}
            location = self._record(LocationInput, {"timezone": zone} | plain, "location", index, ("codes",))
            if location is None:
                continue
            try:
                check_location(location, "")
            except Refusal as refusal:
                self._wrong(refusal.problem.detail, "location", index, refusal.problem.pointer[1:])
            found.append(location)
        self.found.locations = found

    def _connections(self) -> None:
        found = []
        for index, table in self._tables("connection"):
            settings = {
                key: value for key, value in table.items() if key not in OF_CONNECTION and key != "owns"
            }
            plain = {key: value for key, value in table.items() if key in OF_CONNECTION}
            connection = self._record(ConnectionInput, plain | {"settings": settings}, "connection", index)
            if connection is not None:
                found.append(connection)
        self.found.connections = found

    def _works(self) -> None:
        """Each location is worked by one system, which takes commands."""
        known = [location.id for location in self.found.locations]
        able = [name for name, connector in found().items() if connector.command is not None]
        taken: dict[str, str] = {}
        for index, table in self._tables("connection"):
            connection = next((each for each in self.found.connections if each.id == table.get("id")), None)
            if connection is None or not connection.works:
                continue
            try:
                fitted = configured(connection.connector, connection.settings)
            except Refusal:  # said by _fit_settings
                continue
            if why := works_nowhere(connection, fitted):
                hint = "" if connection.connector in able else near(connection.connector, able)
                self._wrong(f"works: {why} {hint}".strip(), "connection", index, "works")
            for name in connection.works:
                if known and name not in known:
                    self._wrong(
                        f"works: there is no location {name}. {near(name, known)}",
                        "connection",
                        index,
                        "works",
                    )
                if (other := taken.setdefault(name, connection.id)) != connection.id:
                    words = (
                        f"works: the work at {name} is done by {other} already; one system is told to do it."
                    )
                    self._wrong(words, "connection", index, "works")
            if len(set(connection.works)) < len(connection.works):
                self._wrong("works: a location stands twice in it.", "connection", index, "works")

    def _codes(self) -> None:
        """What a location is called elsewhere goes to the settings of that connection."""
        by_id = {connection.id: connection for connection in self.found.connections}
        for index, table in self._tables("location"):
            codes = table.get("codes", {})
            if not isinstance(codes, dict) or not all(isinstance(code, str) for code in codes.values()):
                self._wrong('codes is a table: { shop = "gid://…" }.', "location", index, "codes")
                continue
            for id_, code in codes.items():
                connection = by_id.get(id_)
                if connection is None:
                    self._wrong(
                        f"codes: there is no connection {id_}. {near(id_, by_id)}", "location", index, "codes"
                    )
                    continue
                connector = found().get(connection.connector)
                if connector is None or not _has(connector.settings, "locations"):
                    words = f"codes: {id_} ({connection.connector}) reads no codes of locations; use values in its mapping."
                    self._wrong(words, "location", index, "codes")
                    continue
                named = connection.settings.setdefault("locations", {})
                if isinstance(named, dict) and named.setdefault(code, table.get("id")) != table.get("id"):
                    self._wrong(f"codes: {code} of {id_} is {named[code]} too.", "location", index, "codes")

    def _fit_settings(self) -> None:
        for index, table in self._tables("connection"):
            connection = next((each for each in self.found.connections if each.id == table.get("id")), None)
            if connection is None or not self._with_mapping(connection, index):
                continue
            try:
                configured(connection.connector, connection.settings)
            except Refusal as refusal:
                problem = refusal.problem
                key = problem.pointer.removeprefix("/settings").strip("/").split("/")[0]
                self._wrong(problem.detail, "connection", index, key)
            if connection.connector in WITHOUT_CODE and connection.settings:
                key = next(iter(connection.settings))
                self._wrong(
                    f"the connector {connection.connector} has no settings, so {key} would do nothing.",
                    "connection",
                    index,
                    key,
                )

    def _with_mapping(self, connection: ConnectionInput, index: int) -> bool:
        """Put the mapping's content where its name stands; False when it cannot be had."""
        name = connection.settings.get("mapping")
        connector = found().get(connection.connector)
        if not isinstance(name, str) or connector is None or not _has(connector.settings, "mapping"):
            return True
        folder = self._path.parent / "mappings"
        path = folder / f"{name}.toml"
        if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
            there = sorted(str(each.relative_to(folder))[:-5] for each in folder.rglob("*.toml"))
            self._wrong(
                f"there is no mappings/{name}.toml. {near(name, there)}", "connection", index, "mapping"
            )
            return False
        shown = f"mappings/{name}.toml"
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
            read_mapping(content, shown)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            line = re.search(r"at line (\d+)", str(error))
            self.mistakes.append(Mistake(shown, int(line[1]) if line else 1, f"no TOML: {error}."))
            return False
        except Refusal as refusal:
            self.mistakes.append(Mistake(shown, 1, refusal.problem.detail.removeprefix(f"{shown}: ")))
            return False
        connection.settings["mapping"] = content
        return True

    def _channels(self) -> None:
        channels = []
        for index, table in self._tables("channel"):
            chosen = table.get("locations")
            if isinstance(chosen, dict):
                places = self._chosen(chosen, index)
                table = table | {"locations": places}  # noqa: PLW2901 - the same table, its locations by name
            channel = self._record(ChannelInput, table, "channel", index)
            if channel is not None:
                channels.append(channel)
        self.found.channels = channels

    def _chosen(self, chosen: dict[str, Any], index: int) -> list[str]:
        """Locations by what they have in common, in the order of the file."""
        for key in chosen:
            if key not in {"region", "type"}:
                self._wrong(
                    f"locations are chosen by region or type. {near(key, ('region', 'type'))}",
                    "channel",
                    index,
                    "locations",
                )
                return []
        places = [
            location.id
            for location in self.found.locations
            if all(getattr(location, key) == value for key, value in chosen.items())
        ]
        if not places:
            words = ", ".join(f"{key} = {value!r}" for key, value in chosen.items())
            self._wrong(f"no location of this file has {words}.", "channel", index, "locations")
        return places

    def _channel_references(self) -> None:
        """Connections are those of this file; so are locations, unless another system is the master of them."""
        known = [location.id for location in self.found.locations]
        ours = all(claim.claimant == HUB for claim in self.found.claims if claim.domain == "location_master")
        for index, table in self._tables("channel"):
            channel = next((each for each in self.found.channels if each.id == table.get("id")), None)
            if channel is None:
                continue
            if channel.connection is not None and channel.connection not in self.found.ids:
                words = (
                    f"there is no connection {channel.connection}. {near(channel.connection, self.found.ids)}"
                )
                self._wrong(words, "channel", index, "connection")
            for name in channel.locations:
                if ours and known and name not in known:
                    self._wrong(
                        f"there is no location {name}. {near(name, known)}", "channel", index, "locations"
                    )
            if len(set(channel.locations)) < len(channel.locations):
                self._wrong("a location stands twice in its locations.", "channel", index, "locations")

    # Who is right about what (D8) ------------------------------------------------------------------------------------

    def _owners(self) -> None:
        claims = list(self._claims())
        self.found.claims = claims
        for number, claim in enumerate(claims):
            for other in claims[:number]:
                if (
                    claim.domain == other.domain
                    and claim.claimant != other.claimant
                    and _overlap(claim, other)
                ):
                    words = (
                        f"{claim.domain} is claimed by {other.claimant} (line {other.line}) and by {claim.claimant}: one system "
                        "is right about it. Take one of the claims away; until then nothing is applied."
                    )
                    self.mistakes.append(Mistake(self._path.name, claim.line, words))
                    break
        for claim in claims:
            if is_only_ours(claim.domain, claim.scope) and claim.claimant != HUB:
                words = f"{claim.domain} is what the hub is for; it cannot be left to {claim.claimant}. Write {HUB!r}."
                self.mistakes.append(Mistake(self._path.name, claim.line, words))
            if claim.domain == "location_master" and claim.claimant != HUB and self.found.locations:
                words = (
                    f"location_master belongs to {claim.claimant}, so [[location]] cannot be written here."
                )
                self.mistakes.append(Mistake(self._path.name, claim.line, words))

    def _claims(self) -> Iterator[Claim]:
        owners = self._content.get("owners", {})
        for domain, claimants in owners.items() if isinstance(owners, dict) else ():
            line = self._places.line("owners", 0, domain)
            if domain not in DOMAINS:
                self._wrong(f"nothing is called {domain}. {near(domain, DOMAINS)}", "owners", 0, domain)
                continue
            by_scope = claimants if isinstance(claimants, dict) else {EVERYWHERE: claimants}
            for scope, claimant in by_scope.items():
                yield from self._claim(domain, str(scope), claimant, line)
        for index, table in self._tables("connection"):
            line = self._places.line("connection", index, "owns")
            owns = table.get("owns", [])
            for domain in owns if isinstance(owns, list) else [owns]:
                if domain not in DOMAINS:
                    self._wrong(
                        f"owns: nothing is called {domain}. {near(str(domain), DOMAINS)}",
                        "connection",
                        index,
                        "owns",
                    )
                    continue
                yield from self._claim(domain, EVERYWHERE, table.get("id"), line)

    def _claim(self, domain: str, scope: str, claimant: object, line: int) -> Iterator[Claim]:
        if not isinstance(claimant, str) or claimant not in {HUB, *self.found.ids}:
            hint = near(str(claimant), [HUB, *self.found.ids])
            self.mistakes.append(
                Mistake(self._path.name, line, f"{domain}: there is no connection {claimant}. {hint}")
            )
            return
        if scope not in {EVERYWHERE, REST} and domain not in SCOPED_BY:
            words = f"{domain} is owned as a whole, not by {scope}."
            self.mistakes.append(Mistake(self._path.name, line, words))
            return
        kind = SCOPED_BY.get(domain, "location")
        there = self.found.channels if kind == "channel" else self.found.locations
        known = [each.id for each in there]
        if scope not in {EVERYWHERE, REST} and known and scope not in known:
            words = f"{domain}: there is no {kind} {scope}. {near(scope, known)}"
            self.mistakes.append(Mistake(self._path.name, line, words))
            return
        yield Claim(domain, scope, claimant, line)


def _overlap(one: Claim, other: Claim) -> bool:
    return one.scope == other.scope or EVERYWHERE in {one.scope, other.scope}


def _has(settings: type[msgspec.Struct], name: str) -> bool:
    return any(field.encode_name == name for field in msgspec.structs.fields(settings))
