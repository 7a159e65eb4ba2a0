"""Secrets: encrypted at rest under a key that the database does not hold, opened by reference, never shown."""

import asyncio
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from typer.testing import CliRunner

from conftest import NOW
from evenstock.cli.app import app
from evenstock.core.errors import Refusal
from evenstock.pipeline.vault import Vault
from evenstock.postgres import secrets
from evenstock.postgres.database import Database

CANARY = "hunter2-the-canary"


async def test_a_stored_secret_opens_again_and_the_database_does_not_hold_it(
    database: Database, tmp_path: Path
) -> None:
    db = await database.connect()
    vault = Vault(tmp_path / "deep" / "secrets.key", {})
    await vault.store(db, "shop", CANARY, NOW)
    assert await vault.open(db, "secret:shop") == CANARY
    assert (tmp_path / "deep" / "secrets.key").stat().st_mode & 0o777 == 0o600
    rows = await db.fetch("select secrets::text as row from secrets")
    assert CANARY not in "".join(row["row"] for row in rows)
    await vault.store(db, "shop", "another", NOW)
    assert await vault.open(db, "secret:shop") == "another"
    assert await secrets.every(db) == [("shop", NOW)]
    await db.close()


async def test_a_key_is_changed_by_putting_a_new_one_above_it(database: Database, tmp_path: Path) -> None:
    db = await database.connect()
    path = tmp_path / "secrets.key"
    await Vault(path, {}).store(db, "shop", CANARY, NOW)
    old = path.read_text()
    path.write_text(Fernet.generate_key().decode() + "\n" + old)
    assert await Vault(path, {}).open(db, "secret:shop") == CANARY
    await Vault(path, {}).store(db, "shop", CANARY, NOW)
    path.write_text(path.read_text().split("\n")[0])
    assert await Vault(path, {}).open(db, "secret:shop") == CANARY
    path.write_text(old)
    with pytest.raises(Refusal, match="No key in"):
        await Vault(path, {}).open(db, "secret:shop")
    await db.close()


async def test_a_token_moved_to_another_name_opens_nothing(database: Database, tmp_path: Path) -> None:
    db = await database.connect()
    vault = Vault(tmp_path / "secrets.key", {})
    await vault.store(db, "shop", CANARY, NOW)
    token = await db.fetchval("select token from secrets")
    await secrets.put(db, "other", token, NOW)
    with pytest.raises(Refusal, match="under another name"):
        await vault.open(db, "secret:other")
    await db.close()


async def test_what_stands_in_the_way_is_said_without_the_secret(database: Database, tmp_path: Path) -> None:
    db = await database.connect()
    path = tmp_path / "secrets.key"
    await Vault(path, {}).store(db, "shop", CANARY, NOW)
    key = path.read_text()
    path.chmod(0o640)
    with pytest.raises(Refusal, match="chmod 600"):
        await Vault(path, {}).open(db, "secret:shop")
    path.chmod(0o600)
    for content in ("", "no key\n"):
        path.write_text(content)
        with pytest.raises(Refusal, match="holds no keys"):
            await Vault(path, {}).open(db, "secret:shop")
    path.write_text(key)
    for vault, reference, words in (
        (Vault(None, {}), "secret:shop", "was given no key file"),
        (Vault(tmp_path / "absent", {}), "secret:shop", "cannot be read"),
        (Vault(path, {}), "secret:nobody", "There is no secret nobody"),
        (Vault(path, {"EMPTY": ""}), "env:EMPTY", "EMPTY is not set"),
    ):
        with pytest.raises(Refusal, match=words) as refused:
            await vault.open(db, reference)
        assert CANARY not in str(refused.value)
    assert await Vault(None, {"SHOP": CANARY}).open(db, "env:SHOP") == CANARY
    await db.close()


def test_secrets_are_set_listed_and_removed_from_the_command_line_and_never_printed(
    database: Database, tmp_path: Path
) -> None:
    at = ["--database-url", database.url, "--schema", database.schema, "--data", str(tmp_path)]

    def secrets_(*arguments: str, given: str = "") -> tuple[int, str]:
        result = CliRunner().invoke(app, ["secrets", *arguments, *at], input=given)
        assert CANARY not in result.output
        return result.exit_code, result.stdout

    assert secrets_("set", "shop", given=CANARY + "\n")[0] == 0
    assert secrets_("set", "shop", given="")[0] == 2
    assert secrets_("set", "no good name", given="x")[0] == 2
    assert secrets_("set", "big", given="x" * 65_537)[0] == 2
    code, out = secrets_("list")
    assert (code, out.split()[0]) == (0, "shop")

    async def opened() -> str:
        db = await database.connect()
        try:
            return await Vault(tmp_path / "secrets.key", {}).open(db, "secret:shop")
        finally:
            await db.close()

    assert asyncio.run(opened()) == CANARY
    assert secrets_("remove", "shop")[0] == 0
    assert secrets_("remove", "shop")[0] == 4
    assert secrets_("list") == (0, "")
