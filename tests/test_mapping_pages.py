"""The pages about mappings say what the code does: each table and key with its default, and examples that run."""

import io
import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from evenstock.core.events import EVENT_TYPES
from evenstock.core.mapping import Mapper, form, read_mapping
from evenstock.pipeline.imports import dry_run
from evenstock.pipeline.rows import CsvRows

ROOT = Path(__file__).parents[1]
REFERENCE = (ROOT / "docs" / "reference" / "mapping.md").read_text(encoding="utf-8")
HOW_TO = (ROOT / "docs" / "how-to" / "import-a-file.md").read_text(encoding="utf-8")
TABLES: dict[str, type[msgspec.Struct]] = {
    "The file itself": form.Mapping,
    "`[file]`": form.FileForm,
    "Control": form.Control,
    "Column": form.Column,
    "`[numbers]`": form.Numbers,
    "`[time]`": form.When,
    "`[key]`": form.Key,
    "`[items]`": form.Items,
    "`[[location]]`": form.Location,
    "`[full]`": form.Full,
    "`[[rule]]`": form.Rule,
    "Value": form.Value,
    "Condition": form.Condition,
}


def documented(heading: str) -> dict[str, str]:
    section = REFERENCE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.+?) \| .+ \|$", section, re.MULTILINE))


def shown(default: Any) -> str:
    if default is msgspec.NODEFAULT:
        return "required"
    if default is None or default in ((), {}):
        return "none"
    if isinstance(default, msgspec.Struct):
        return "see below"
    if default == '"':
        return "`'\"'`"
    encoded = msgspec.json.encode(default).decode()
    return f"`{encoded}`"


def test_every_table_is_on_the_page() -> None:
    assert re.findall(r"^## (.+)$", REFERENCE, re.MULTILINE) == list(TABLES)
    assert set(TABLES.values()) == set(form.Table.__subclasses__())


@pytest.mark.parametrize("heading", TABLES)
def test_every_key_is_on_the_page_with_its_default(heading: str) -> None:
    fields = msgspec.structs.fields(TABLES[heading])
    defaults = {
        field.encode_name: field.default_factory() if callable(field.default_factory) else field.default
        for field in fields
    }
    assert documented(heading) == {name: shown(default) for name, default in defaults.items()}


def test_every_encoding_and_event_is_on_the_page() -> None:
    events = [str(kind.__struct_config__.tag) for kind in EVENT_TYPES]
    for word in (*get_args(form.Encoding), *events):
        assert f"`{word}`" in REFERENCE, word


def test_the_mapping_of_the_how_to_reads_its_own_lines() -> None:
    rules = read_mapping(tomllib.loads("\n".join(re.findall(r"```toml\n(.+?)```", HOW_TO, re.DOTALL))), "it")
    lines = re.findall(r"```csv\n(.+?)```", HOW_TO, re.DOTALL)[0]
    found = dry_run(CsvRows(io.BytesIO(lines.encode()), rules.file, rules.columns, "it"), Mapper(rules))
    assert [type(entry.event).__name__ for entry in found.events] == ["SaleRecorded", "ReturnReceived"]
    assert (found.summary.skipped, found.problems) == ({"not stock": 1}, [])


@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("*.toml")), ids=lambda path: path.name)
def test_every_example_is_a_mapping(path: Path) -> None:
    assert read_mapping(tomllib.loads(path.read_text(encoding="utf-8")), path.name).source
