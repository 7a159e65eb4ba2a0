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
from typing import Final

SQL_FOLDER: Final = Path(__file__).parent / "sql"
NAME: Final = re.compile(r"^-- name:[ \t]*(?P<name>[a-z][a-z0-9_]*)[ \t]*$", re.MULTILINE)
ANY_NAME: Final = re.compile(r"^--[ \t]*name[ \t]*:.*$", re.MULTILINE | re.IGNORECASE)


class Queries(dict[str, str]):
    """The queries of one file, SQL text by name: `ledger["append"]` or `ledger.append`."""

    def __init__(self, source: str, sql: dict[str, str], descriptions: dict[str, str]) -> None:
        super().__init__(sql)
        self.source = source
        self.descriptions = descriptions  # the comment under each name, in one paragraph

    def __getattr__(self, name: str) -> str:
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
    return read(path.read_text(encoding="utf-8"), path.name)


def load_all(folder: Path = SQL_FOLDER) -> dict[str, Queries]:
    """Every file's queries by noun, for whoever checks them all."""
    return {path.stem: load(path.stem, folder) for path in sorted(folder.glob("*.sql"))}


def read(text: str, source: str) -> Queries:
    """Read the blocks of one file; a malformed, repeated or empty one is a fault of ours."""
    marks = list(NAME.finditer(text))
    if len(marks) != len(ANY_NAME.findall(text)):
        raise ValueError(f"{source}: a name line is malformed; write: -- name: lower_case_words")
    before = text[: marks[0].start()] if marks else text
    if not all(line.startswith("--") for line in before.splitlines() if line.strip()):
        raise ValueError(f"{source}: SQL stands before the first name; begin with: -- name: lower_case_words")
    sql: dict[str, str] = {}
    descriptions: dict[str, str] = {}
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    for mark, end in zip(marks, ends, strict=True):
        name = mark["name"]
        if name in sql:
            raise ValueError(f"{source}: the name {name} stands twice")
        descriptions[name], sql[name] = _comment_and_sql(text[mark.end() : end])
        if not sql[name]:
            raise ValueError(f"{source}: {name} has no SQL")
    return Queries(source, sql, descriptions)


def _comment_and_sql(block: str) -> tuple[str, str]:
    lines = block.strip().splitlines()
    first = next((index for index, line in enumerate(lines) if not line.startswith("--")), len(lines))
    comment = " ".join(line[2:].strip() for line in lines[:first])
    return comment, "\n".join(lines[first:]).strip().removesuffix(";").strip()
