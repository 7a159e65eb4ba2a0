"""The estate as a file: all mistakes at once by file and line, a plan before anything changes, nothing deleted."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evenstock.cli.app import app
from evenstock.cli.config_file import read_configuration
from evenstock.postgres import configured
from evenstock.postgres.database import Database

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "configure-the-estate.md"
FILES = re.findall(r"```toml\n# (\S+)\n(.+?)```", HOW_TO.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def estate(tmp_path: Path) -> Path:
    """The example of the how-to."""
    for name, text in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"# {name}\n{text}")
    return tmp_path / "evenstock.toml"


def change(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text, before
    path.write_text(text.replace(before, after, 1))


def command(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def mistakes(path: Path) -> list[str]:
    return [f"{mistake.file}:{mistake.line} {mistake.words}" for mistake in read_configuration(path)[1]]


def at(database: Database, folder: Path) -> list[str]:
    return ["--database-url", database.url, "--schema", database.schema, "--data", str(folder)]


def test_the_example_of_the_how_to_has_nothing_wrong_with_it(estate: Path) -> None:
    assert mistakes(estate) == []
    code, out, _ = command("check", "--file", str(estate))
    assert code == 0
    assert "2 locations, 3 connections, 1 channel" in out
    found = read_configuration(estate)[0]
    assert found.channels[0].locations == ["0107", "0042"]
    assert {location.timezone for location in found.locations} == {"Europe/Amsterdam"}
    assert found.connections[2].settings["locations"] == {"gid://shopify/Location/655441491": "0107"}


def line_of(path: Path, text: str) -> int:
    return 1 + next(number for number, line in enumerate(path.read_text().splitlines()) if text in line)


WRONG = [
    ('region = "nl-mid"', 'regoin = "nl-mid"', "regoin", "Did you mean region?"),
    ('timezone = "Europe/Amsterdam"', 'timezone = "Europe/Amsterdm"', "[[location]]", "There is no time zone"),
    ('connector = "http_json"', 'connector = "http_jsn"', "http_jsn", "Did you mean http_json?"),
    ('mapping = "pos-nl/sale"', 'mapping = "pos-nl/sales"', "pos-nl/sales", "Did you mean pos-nl/sale?"),
    ('mapping = "pos-nl/sale"', 'mapping = "../../etc/passwd"', "passwd", "there is no mappings/"),
    ('secret = "env:POS_NL_SECRET"', 'secret = "hunter2"', "hunter2", "regex"),
    ('secret = "env:POS_NL_SECRET"', "", "pos-nl/sale", "secret"),
    ('shop = "tulip-dev', 'shopp = "tulip-dev', "shopp", "Did you mean shop?"),
    ('connector = "api"', 'connector = "api"\ntoken = "x"', "token", "would do nothing"),
    ('locations = { region = "nl-mid" }', 'locations = { region = "nl-nord" }', "nl-nord", "no location of this file"),
    ('locations = { region = "nl-mid" }', 'locations = ["0107", "0108"]', "0108", "Did you mean 0107"),
    ('locations = { region = "nl-mid" }', 'locations = ["0107", "0107"]', '["0107", "0107"]', "stands twice"),
    ("safety_stock = 1", "safety_stock = -1", "safety_stock", ">= 0"),
    ("safety_stock = 1", 'connection = "shop-us"', "shop-us", "Did you mean shop-eu"),
    ('id = "0042"', 'id = "0107"', "[[location]]", "stands twice"),
    ("codes = { shop-eu", "codes = { shop-us", "shop-us", "Did you mean shop-eu?"),
    ("codes = { shop-eu", "codes = { pos-nl", "pos-nl =", "use values in its mapping"),
    ("[[channel]]", "[[chanel]]", "[[chanel]]", "Did you mean channel?"),
    ('name = "tulip"', 'nam = "tulip"', "nam =", "Did you mean name?"),
    ("stock_ledger =", "stock_leger =", "stock_leger", "Did you mean stock_ledger?"),
    ('stock_ledger = "evenstock"', 'stock_ledger = "shop-eu"', "stock_ledger", "cannot be left to shop-eu"),
    ('"0042" = "pos-old"', '"0042" = "pos-odl"', "pos-odl", "Did you mean pos-old?"),
    ('"0042" = "pos-old"', '"0043" = "pos-old"', "0043", "there is no location 0043"),
    ('reservations = "evenstock"', 'availability = { "wbe" = "shop-eu" }', "availability", "Did you mean web?"),
    ('reservations = "evenstock"', 'availability = "shop-eu"', "availability", "cannot be left to shop-eu"),
    ('reservations = "evenstock"', 'item_master = { "0107" = "shop-eu" }', "item_master", "owned as a whole"),
    ('connector = "api"', 'connector = "api"\nowns = ["store_sales"]', "owns", "claimed by pos-nl"),
    ('reservations = "evenstock"', 'location_master = "pos-old"', "location_master", "[[location]] cannot be written"),
    ('name = "tulip"', "name = tulip", "name = tulip", "no TOML"),
    ('connector = "api"', 'connector = "api"\nworks = ["0107"]', "works", "takes no commands, so `pos-old` works nowhere. These do: http_json,"),
    ('connector = "api"', 'connector = "recorder"\nworks = ["01070"]', "works", "Did you mean 0107?"),
    ('connector = "api"', 'connector = "recorder"\nworks = ["0107", "0107"]', "works", "stands twice"),
    ("expect_within_s", 'works = ["0107"]\nexpect_within_s', "works", "do not say how its system is commanded"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "where", "words"), WRONG, ids=[entry[1][:50] for entry in WRONG])
def test_a_mistake_is_named_with_its_line_and_what_to_write_instead(
    estate: Path, before: str, after: str, where: str, words: str
) -> None:
    change(estate, before, after)
    found = mistakes(estate)
    assert any(words in one for one in found), found
    if where not in {"[[location]]", "pos-nl/sale", '["0107", "0107"]'}:
        assert any(
            one.startswith(f"evenstock.toml:{line_of(estate, where)} ") and words in one for one in found
        ), found
    assert not any("hunter2" in one for one in found)


def test_a_mistake_in_a_mapping_is_named_with_the_mapping(estate: Path) -> None:
    change(estate.parent / "mappings/pos-nl/sale.toml", "SaleRecorded", "SaleRecoded")
    (found,) = mistakes(estate)
    assert found.startswith("mappings/pos-nl/sale.toml:")
    assert "Did you mean SaleRecorded.v1?" in found


def test_all_mistakes_are_told_at_once_and_nothing_is_applied(estate: Path, database: Database) -> None:
    for before, after in (
        ("region", "regoin"),
        ('"http_json"', '"http"'),
        ("safety_stock = 1", "safety = 1"),
        ("reservations", "reservation"),
    ):
        change(estate, before, after)
    code, _, err = command("check", "--file", str(estate))
    assert code == 2
    assert "4 mistakes" in err, err
    assert sorted(set(re.findall(r"^evenstock.toml:(\d+)", err, re.MULTILINE))) == sorted(
        str(line_of(estate, text)) for text in ("regoin", '"http"', "safety = 1", "reservation =")
    )
    assert command("apply", "--file", str(estate), "--yes", *at(database, estate.parent))[0] == 2
    assert asyncio.run(now(database))["locations"] == []
    code, out, _ = command("check", "--file", str(estate), "--json")
    assert (code, json.loads(out)["ok"]) == (2, False)


async def now(database: Database) -> dict[str, Any]:
    db = await database.connect()
    try:
        return {
            "locations": await configured.locations(db),
            "connections": await configured.connections(db),
            "channels": await configured.sales_channels(db),
            "owners": await configured.claims(db),
        }
    finally:
        await db.close()


def test_a_plan_changes_nothing_and_applying_it_twice_is_applying_it_once(
    estate: Path, database: Database
) -> None:
    arguments = ["apply", "--file", str(estate), *at(database, estate.parent)]
    code, plan, _ = command(*arguments, "--plan")
    assert code == 0
    assert [line.split()[:2] for line in plan.splitlines()] == [["+", "create"]] * 10
    assert asyncio.run(now(database))["channels"] == []
    assert command(*arguments)[0] == 0
    made = asyncio.run(now(database))
    assert [each["id"] for each in made["locations"]] == ["0042", "0107"]
    assert {each["id"]: each["connector"] for each in made["connections"]} == {
        "pos-nl": "http_json", "pos-old": "api", "shop-eu": "shopify",
    }  # fmt: skip
    assert (made["channels"][0]["locations"], made["channels"][0]["safety_stock"]) == (["0107", "0042"], 1)
    assert {each["id"]: each["owner"] for each in made["owners"]} == {
        "reservations everywhere": "evenstock", "stock_ledger everywhere": "evenstock",
        "store_sales 0042": "pos-old", "store_sales default": "pos-nl",
    }  # fmt: skip
    code, again, _ = command(*arguments)
    assert code == 0
    assert "Nothing to do" in again
    assert asyncio.run(now(database)) == made


def test_another_file_that_claims_the_same_is_applied_and_said_to_be_in_dispute(
    estate: Path, database: Database
) -> None:
    arguments = ["apply", "--file", str(estate), *at(database, estate.parent)]
    assert command(*arguments)[0] == 0
    change(estate, 'store_sales = { default = "pos-nl", "0042" = "pos-old" }', 'store_sales = "pos-nl"')
    code, out, err = command(*arguments)
    assert code == 0
    assert "+ create   owner store_sales everywhere" in out
    assert "stays    owner store_sales 0042" in out
    assert (
        "store_sales (0042) is claimed by pos-nl and pos-old: nothing is done there until one is left."
        in " ".join(err.split())
    )


def test_what_changes_is_shown_field_by_field_and_what_is_not_in_the_file_stays(
    estate: Path, database: Database
) -> None:
    arguments = ["apply", "--file", str(estate), *at(database, estate.parent)]
    assert command(*arguments)[0] == 0
    change(estate, "safety_stock = 1", "safety_stock = 3")
    change(estate, 'shop = "tulip-dev.myshopify.com"', "promised = true")
    change(estate, '[[location]]\nid = "0042"\nregion = "nl-mid"\n', "")
    change(estate, ', "0042" = "pos-old"', "")
    code, out, _ = command(*arguments)
    assert code == 0
    for words in (
        "~ change   connection shop-eu", "promised: nothing → true", "shop: tulip-dev.myshopify.com → nothing",
        "stays    owner store_sales 0042", "~ change   channel web", "safety_stock: 1 → 3", "= nothing  location 0107", "stays    location 0042, which is not in the file",
    ):  # fmt: skip
        assert words in out, out
    made = asyncio.run(now(database))
    assert [each["id"] for each in made["locations"]] == ["0042", "0107"]
    assert made["channels"][0]["locations"] == ["0107"]


def test_the_model_says_who_originates_who_owns_and_who_is_told(estate: Path) -> None:
    change(estate, "safety_stock = 1", 'connection = "shop-eu"')
    code, out, _ = command("model", "--file", str(estate))
    assert code == 0
    told = [line.split() for line in out.splitlines()]
    assert ["owns", "stock_ledger", "evenstock"] in told
    assert ["owns", "store_sales", "pos-nl", "(default),", "pos-old", "(0042)"] in told
    assert ["owns", "item_master", "nobody", "says"] in told
    assert ["originates", "pos-nl", "http_json:", "ReturnReceived.v1,", "SaleRecorded.v1"] in told
    assert ["is", "told", "web", "shop-eu,", "of", "0107,", "0042"] in told
    code, out, _ = command("model", "--file", str(estate), "--json")
    assert json.loads(out)["owners"]["store_sales"] == {"default": "pos-nl", "0042": "pos-old"}


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    code, _, err = command("check", "--file", str(tmp_path / "nothing.toml"))
    assert code == 2
    assert "--file" in err


def test_a_location_is_worked_by_one_connection_of_a_file(estate: Path) -> None:
    change(
        estate,
        'connector = "api"',
        'connector = "recorder"\nworks = ["0107"]\n[[connection]]\nid = "app"\nconnector = "recorder"\nworks = ["0042", "0107"]',
    )
    twice = '"0042", "0107"'
    (found,) = mistakes(estate)
    assert "works: the work at 0107 is done by pos-old already" in found
    assert found.startswith(f"evenstock.toml:{line_of(estate, twice)} ")
    change(estate, twice, '"0042"')
    assert mistakes(estate) == []
    _, out, _ = command("model", "--file", str(estate))
    assert re.search(r"works +pos-old +at 0107\n", out)
