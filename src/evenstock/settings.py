"""What may be set about a process: read once, from options, else `EVENSTOCK_*` variables, else defaults."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec

PREFIX: Final = "EVENSTOCK_"
OF_CLIENTS: Final = (
    "EVENSTOCK_URL",
    "EVENSTOCK_KEY",
)  # which hub a client talks to, and its key: not ours to read
PATHS: Final = ("data", "pg_bin", "secrets_key", "key_file", "local_key_file", "folder")
LISTS: Final = ("outbound_allow", "folders_allow")  # in a variable separated by commas
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
HOST_PORT: Final = re.compile(r"(?:[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]+\]):[1-9][0-9]{0,4}")
LogLevel = Literal["debug", "info", "warning", "error"]


class SettingsWrong(Exception):  # noqa: N818 - it names what is wrong
    """A setting cannot be used; the message says which, why, and what to write instead."""


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a store agent. Each is an option `--data` and a variable `EVENSTOCK_DATA`, by its name here."""

    data: Path  # folder of the agent's store
    hub: str | None = None  # the hub's URL
    key: str | None = (
        None  # the agent's key at the hub; only by EVENSTOCK_KEY, so that no process list shows it
    )
    key_file: Path | None = None  # a file that holds it instead
    name: str | None = None  # of this agent, as the hub is told; by default the machine's
    host: str = "127.0.0.1"  # where tills report
    port: int = 8081  # 0 lets the system choose
    local_key_file: Path | None = None  # a file with the key that tills must show
    folder: Path | None = None  # files of events are taken from here
    disk_mb: int = 2_048  # that the store may use
    keep_days: int = 30  # what was forwarded is kept for proof
    plain_http: bool = False  # reach a hub elsewhere without TLS
    log_level: LogLevel = "info"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one process. Each is an option `--data` and a variable `EVENSTOCK_DATA`, by its name here."""

    data: Path  # folder of the embedded database and all else we keep
    database_url: str | None = None  # a PostgreSQL of your own; the embedded one is not started then
    schema: str = "evenstock"  # of this cell
    host: str = "127.0.0.1"  # where we listen; 0.0.0.0 for everyone
    port: int = 8080  # 0 lets the system choose
    log_level: LogLevel = "info"
    secrets_key: Path | None = None  # file with the keys of the secret store; DATA/secrets.key by default
    outbound_allow: tuple[str, ...] = ()  # host:port in the house that we may call too, over http as well
    folders_allow: tuple[Path, ...] = ()  # folders that connections may take files from, besides DATA/files
    pg_bin: Path | None = None  # programs of another PostgreSQL for the embedded database

    def masked(self) -> dict[str, str]:
        """Each setting in words, without secrets."""
        shown = {name: str(getattr(self, name) or "") for name in self.__struct_fields__}
        return shown | {"database_url": _without_password(self.database_url or "")}


Kind = TypeVar("Kind", Settings, AgentSettings)


def settings(options: Mapping[str, object], environ: Mapping[str, str]) -> Settings:
    """The settings of this process; an option that is None was not given."""
    made, origin = _read(Settings, options, environ, _default_data(environ))
    for host in made.outbound_allow:
        if not HOST_PORT.fullmatch(host):
            raise SettingsWrong(
                f"{origin['outbound_allow']} holds {host!r}: write host:port, as in erp.lan:8443."
            )
    url = made.database_url
    if url is not None and not url.startswith(("postgresql://", "postgres://")):
        raise SettingsWrong(
            f"{origin['database_url']} is not the URL of a PostgreSQL: write postgresql://user@host:5432/database."
        )
    return made


def agent_settings(options: Mapping[str, object], environ: Mapping[str, str]) -> AgentSettings:
    """The settings of a store agent; an option that is None was not given."""
    made, origin = _read(AgentSettings, options, environ, _default_data(environ).with_name("evenstock-agent"))
    for name in ("disk_mb", "keep_days"):
        if getattr(made, name) < 1:
            raise SettingsWrong(f"{origin[name]} is {getattr(made, name)}: give it at least 1.")
    if made.hub is not None:
        _check_hub(made.hub, origin["hub"], plain_http=made.plain_http)
    return made


def _check_hub(url: str, origin: str, *, plain_http: bool) -> None:
    try:
        found = urlsplit(url)
        host, _ = found.hostname, found.port
    except ValueError:
        host = None
    if not host or found.scheme not in {"http", "https"} or found.query or found.fragment or found.username:
        raise SettingsWrong(f"{origin} is not the URL of a hub: write https://hub.example.")
    if found.scheme == "http" and not plain_http and host not in LOOPBACK:
        raise SettingsWrong(
            f"{origin} is {url}: over http:// anybody on the way reads the key. Write https://, or say --plain-http "
            "(EVENSTOCK_PLAIN_HTTP=true) where the way is private."
        )


def _read(
    kind: type[Kind], options: Mapping[str, object], environ: Mapping[str, str], data: Path
) -> tuple[Kind, dict[str, str]]:
    """Settings of a kind, checked one by one, and by what option or variable each was given."""
    _refuse_unknown(environ, kind)
    values: dict[str, Any] = {"data": data}
    origin: dict[str, str] = {}
    for name in kind.__struct_fields__:
        variable = PREFIX + name.upper()
        if environ.get(variable):
            values[name], origin[name] = environ[variable], variable
        if options.get(name) is not None:
            values[name], origin[name] = options[name], "--" + name.replace("_", "-")
    return _checked(kind, values, origin), origin


def _checked(kind: type[Kind], values: dict[str, Any], origin: dict[str, str]) -> Kind:
    for name in PATHS:
        if isinstance(values.get(name), str):
            values[name] = Path(values[name])
        if name in values:
            values[name] = values[name].expanduser()
    for name in LISTS:
        if isinstance(allowed := values.get(name), str):
            values[name] = tuple(part.strip() for part in allowed.split(",") if part.strip())
    if "folders_allow" in values:
        values["folders_allow"] = tuple(Path(part).expanduser() for part in values["folders_allow"])
    try:
        made = msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at ")
        name = path.strip("`").removeprefix("$.")
        raise SettingsWrong(f"{origin.get(name, name)} is {values.get(name)!r}: {reason}.") from error
    if not 0 <= made.port <= 65535:
        raise SettingsWrong(f"{origin['port']} is {made.port}: a port is a number from 0 to 65535.")
    return made


def _refuse_unknown(environ: Mapping[str, str], kind: type[Settings | AgentSettings]) -> None:
    known = [PREFIX + name.upper() for name in kind.__struct_fields__]
    for variable in environ:
        if variable.startswith(PREFIX) and variable not in (*known, *OF_CLIENTS):
            close = get_close_matches(variable, known, n=1)
            hint = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(known)}."
            raise SettingsWrong(f"The environment sets {variable}, which means nothing to us. {hint}")


def _default_data(environ: Mapping[str, str]) -> Path:
    """The user's own folder for data, by the desktop's convention (XDG)."""
    given = environ.get("XDG_DATA_HOME", "")
    base = given if given.startswith("/") else "~/.local/share"
    return Path(base).expanduser() / "evenstock"


def _without_password(url: str) -> str:
    """The URL with its password hidden, wherever it stands."""
    return re.sub(r"(?<=[?&]password=)[^&]*", "…", re.sub(r"(://[^/@:]*):[^/]*@", r"\1:…@", url))
