"""What may be set about a process: read once, from options, else `EVENSTOCK_*` variables, else defaults."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

PREFIX: Final = "EVENSTOCK_"
OF_CLIENTS: Final = (
    "EVENSTOCK_URL",
    "EVENSTOCK_KEY",
)  # which hub a client talks to, and its key: not ours to read
LogLevel = Literal["debug", "info", "warning", "error"]


class SettingsWrong(Exception):  # noqa: N818 - it names what is wrong
    """A setting cannot be used; the message says which, why, and what to write instead."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one process. Each is an option `--data` and a variable `EVENSTOCK_DATA`, by its name here."""

    data: Path  # folder of the embedded database and all else we keep
    database_url: str | None = None  # a PostgreSQL of your own; the embedded one is not started then
    schema: str = "evenstock"  # of this cell
    host: str = "127.0.0.1"  # where we listen; 0.0.0.0 for everyone
    port: int = 8080  # 0 lets the system choose
    log_level: LogLevel = "info"
    secrets_key: Path | None = None  # file with the keys of the secret store; DATA/secrets.key by default
    pg_bin: Path | None = None  # programs of another PostgreSQL for the embedded database

    def masked(self) -> dict[str, str]:
        """Each setting in words, without secrets."""
        shown = {name: str(getattr(self, name) or "") for name in self.__struct_fields__}
        return shown | {"database_url": _without_password(self.database_url or "")}


def settings(options: Mapping[str, object], environ: Mapping[str, str]) -> Settings:
    """The settings of this process; an option that is None was not given."""
    _refuse_unknown(environ)
    values: dict[str, Any] = {"data": _default_data(environ)}
    origin = {}
    for name in Settings.__struct_fields__:
        variable = PREFIX + name.upper()
        if environ.get(variable):
            values[name], origin[name] = environ[variable], variable
        if options.get(name) is not None:
            values[name], origin[name] = options[name], "--" + name.replace("_", "-")
    return _checked(values, origin)


def _checked(values: dict[str, Any], origin: dict[str, str]) -> Settings:
    for name in ("data", "pg_bin", "secrets_key"):
        if isinstance(values.get(name), str):
            values[name] = Path(values[name])
        if name in values:
            values[name] = values[name].expanduser()
    try:
        made = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at ")
        name = path.strip("`").removeprefix("$.")
        raise SettingsWrong(f"{origin.get(name, name)} is {values.get(name)!r}: {reason}.") from error
    if not 0 <= made.port <= 65535:
        raise SettingsWrong(f"{origin['port']} is {made.port}: a port is a number from 0 to 65535.")
    url = made.database_url
    if url is not None and not url.startswith(("postgresql://", "postgres://")):
        raise SettingsWrong(
            f"{origin['database_url']} is not the URL of a PostgreSQL: write postgresql://user@host:5432/database."
        )
    return made


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    known = [PREFIX + name.upper() for name in Settings.__struct_fields__]
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
