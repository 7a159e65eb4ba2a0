"""SQL is code: it is found by name, and what is malformed is refused where it stands."""

import re
from pathlib import Path

import pytest

from evenstock.postgres import queries

SOURCE = Path(queries.__file__).parent


def test_a_block_has_a_name_a_reason_and_sql() -> None:
    found = queries.read(
        "-- name: one\n-- Because.\n-- And so.\nSELECT 1;\n\n-- name: two\nSELECT 2\n", "x.sql"
    )
    assert found == {"one": "SELECT 1", "two": "SELECT 2"}
    assert found.descriptions == {"one": "Because. And so.", "two": ""}


def test_a_query_is_had_by_attribute_and_an_unknown_one_names_the_others() -> None:
    locks = queries.load("locks")
    assert locks.migrating == locks["migrating"]
    with pytest.raises(
        AttributeError,
        match=r"locks\.sql has no query named migratin; it has: granting, imported, .*, taking$",
    ):
        assert locks.migratin


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("-- name: one\nSELECT 1\n-- name: one\nSELECT 1", "stands twice"),
        ("-- name: one\n-- only words\n", "one has no SQL"),
        ("-- name: One\nSELECT 1", "malformed"),
        ("SELECT 1;\n-- name: one\nSELECT 1", "before the first name"),
    ],
)
def test_what_is_malformed_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        queries.read(text, "x.sql")


def test_every_query_is_used() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py"))
    unused = [
        f"{noun}.{name}"
        for noun, named in queries.load_all().items()
        for name in named
        if not re.search(rf"\.{name}\b|\[\"{name}\"\]", text)
    ]
    assert unused == [], "remove them, or use them"
