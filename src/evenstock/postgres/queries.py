"""Named queries, kept as SQL in `sql/*.sql`, one file per noun.

A file holds blocks::

    -- name: positions_locked
    -- Lock in one global order, so that two batches never wait for each other.
    SELECT ...

The comment lines under the name say why the query is as it is.
"""

import re
from functools import cache
from pathlib import Path
from typing import Final, Self

SQL_FOLDER: Final = Path(__file__).parent / "sql"
NAME: Final = re.compile(r"^-- name:[ \t]*(?P<name>[a-z][a-z0-9_]*)[ \t]*$", re.MULTILINE)
ANY_NAME: Final = re.compile(r"^--[ \t]*name[ \t]*:.*$", re.MULTILINE | re.IGNORECASE)


class Query(str):
    """The text of one named query; the driver takes it as the string it is."""

    __slots__ = ("description", "name")

    name: str
    description: str  # the comment under the name, in one paragraph

    def __new__(cls, text: str, *, name: str, description: str) -> Self:
        query = super().__new__(cls, text)
        query.name = name
        query.description = description
        return query


class Queries(dict[str, Query]):
    """The queries of one file, by name: `ledger["append"]` or `ledger.append`."""

    def __init__(self, source: str, found: dict[str, Query]) -> None:
        super().__init__(found)
        self.source = source

    def __getattr__(self, name: str) -> Query:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(
                f"{self.source} has no query named {name}; it has: {', '.join(sorted(self))}"
            ) from None


@cache
def load(noun: str, folder: Path = SQL_FOLDER) -> Queries:
    """The queries of `sql/<noun>.sql`."""
    path = folder / f"{noun}.sql"
    return Queries(path.name, read(path.read_text(encoding="utf-8"), path.name))


def load_all(folder: Path = SQL_FOLDER) -> dict[str, Queries]:
    """Every file's queries by noun, for whoever checks them all."""
    return {path.stem: load(path.stem, folder) for path in sorted(folder.glob("*.sql"))}


def read(text: str, source: str) -> dict[str, Query]:
    """Read the blocks of one file; a malformed, repeated or empty one is a fault of ours."""
    marks = list(NAME.finditer(text))
    if len(marks) != len(ANY_NAME.findall(text)):
        raise ValueError(f"{source}: a name line is malformed; write: -- name: lower_case_words")
    if not _is_comment(text[: marks[0].start()] if marks else text):
        raise ValueError(f"{source}: SQL stands before the first name; begin with: -- name: lower_case_words")
    found: dict[str, Query] = {}
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    for mark, end in zip(marks, ends, strict=True):
        name = mark["name"]
        if name in found:
            raise ValueError(f"{source}: the name {name} stands twice")
        found[name] = _query(name, text[mark.end() : end], source)
    return found


def _query(name: str, block: str, source: str) -> Query:
    lines = block.strip().splitlines()
    first = next((index for index, line in enumerate(lines) if not line.startswith("--")), len(lines))
    text = "\n".join(lines[first:]).strip().removesuffix(";").strip()
    if not text:
        raise ValueError(f"{source}: {name} has no SQL")
    return Query(text, name=name, description=" ".join(line[2:].strip() for line in lines[:first]))


def _is_comment(text: str) -> bool:
    return all(line.startswith("--") for line in text.splitlines() if line.strip())
