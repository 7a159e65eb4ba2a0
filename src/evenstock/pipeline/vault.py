"""Where secrets are looked up: `env:NAME` in the environment, `secret:NAME` in the store, which is encrypted at rest.

The keys of the store stand in a file outside of the database, one a line, the newest first: what is stored is written with the
first and read with any, so a key is changed by putting a new one above it and storing the secrets again.
"""

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from evenstock.core.errors import Refusal
from evenstock.postgres import secrets
from evenstock.postgres.database import Connection

KEY_FILE: Final = "secrets.key"  # in the data folder, unless the settings say another place
PRIVATE: Final = 0o600
SECRET_BYTES_MAX: Final = 64 * 1024


class _Sealed(msgspec.Struct, frozen=True):
    """What is encrypted: the name too, so that a token moved to another name opens nothing."""

    name: str
    value: str


class Vault:
    """Opens references. Nothing it returns may be printed or logged."""

    def __init__(self, key_file: Path | None, environ: Mapping[str, str]) -> None:
        self._key_file = key_file
        self._environ = environ

    async def open(self, db: Connection, reference: str) -> str:
        """The secret behind a reference.

        Raises Refusal `secret.unknown`, `secret.unusable`.
        """
        where, _, name = reference.partition(":")
        if where == "env":
            if not (value := self._environ.get(name)):
                raise Refusal(
                    "secret.unknown", f"The environment variable {name} is not set where the hub runs."
                )
            return value
        token = await secrets.get(db, name)
        if token is None:
            raise Refusal("secret.unknown", f"There is no secret {name}.")
        try:
            sealed = msgspec.json.decode(self._keys().decrypt(token.encode()), type=_Sealed)
        except (InvalidToken, msgspec.DecodeError):
            raise Refusal("secret.unusable", f"No key in {self._key_file} opens the secret {name}.") from None
        if sealed.name != name:
            raise Refusal("secret.unusable", f"The secret {name} was stored under another name.")
        return sealed.value

    async def store(self, db: Connection, name: str, value: str, now: datetime) -> None:
        """Keep a secret under a name; the key file is made if there is none."""
        if self._key_file is not None and not self._key_file.exists():
            self._make_key_file(self._key_file)
        token = self._keys().encrypt(msgspec.json.encode(_Sealed(name, value))).decode()
        await secrets.put(db, name, token, now)

    def _keys(self) -> MultiFernet:
        path = self._key_file
        if path is None:
            raise Refusal("secret.unusable", "This process was given no key file.")
        try:
            if path.stat().st_mode & 0o077:
                raise Refusal(
                    "secret.unusable", f"Others may read the key file {path}. Do: chmod 600 {path}."
                )
            return MultiFernet([Fernet(line) for line in path.read_text(encoding="ascii").split()])
        except OSError as error:
            raise Refusal(
                "secret.unusable", f"The key file {path} cannot be read: {error.strerror}."
            ) from None
        except ValueError:
            raise Refusal("secret.unusable", f"The key file {path} holds no keys.") from None

    def _make_key_file(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(Fernet.generate_key() + b"\n")
            file.flush()
            os.fsync(file.fileno())
