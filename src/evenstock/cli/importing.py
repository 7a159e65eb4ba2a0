"""import: a retailer's files, through a mapping, into the ledger."""

import hashlib
import os
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
import typer

from evenstock import wiring
from evenstock.cli import progress
from evenstock.cli.import_words import dry_run_in_words, in_words
from evenstock.cli.talk import (
    Data,
    DatabaseUrl,
    Exit,
    Json,
    Schema,
    answer_json,
    fail,
    out,
    read_settings,
    run,
    say,
)
from evenstock.core.errors import Refusal
from evenstock.core.mapping import Mapping, mapper_of, read_mapping
from evenstock.pipeline.bring import Import, bring
from evenstock.pipeline.census import census_of
from evenstock.pipeline.imports import BATCH_EVENTS, BATCH_EVENTS_MAX, ImportSummary, Progress, dry_run
from evenstock.pipeline.rejects import RejectFile, is_reject_file
from evenstock.pipeline.rows import count_of, digest_of, opened
from evenstock.postgres import faults
from evenstock.postgres.database import Database
from evenstock.postgres.imports import ImportKey


def register(app: typer.Typer) -> None:
    app.command("import")(import_)


class Done(msgspec.Struct, frozen=True):
    """The answer of `--json`."""

    file: str
    mapping: str
    connection: str
    summary: ImportSummary
    rejects: str | None  # the reject file, when there is one
    seconds: float


class _Reached:
    """How far the run is, for whoever interrupts it."""

    rows = 0


def import_(
    file: Annotated[Path, typer.Argument(help="The file, plain or packed with gzip or zip.")],
    mapping: Annotated[Path, typer.Option(help="The TOML file that says what its rows mean.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read it all, show the first events, change nothing.")
    ] = False,
    rejects: Annotated[
        Path | None,
        typer.Option(
            help="Where rows go that cannot be used; FILE.rejects.csv by default.", show_default=False
        ),
    ] = None,
    batch: Annotated[
        int, typer.Option(min=1, max=BATCH_EVENTS_MAX, help="Events in one transaction.")
    ] = BATCH_EVENTS,
    data: Data = None,
    database_url: DatabaseUrl = None,
    schema: Schema = None,
    as_json: Json = False,
) -> None:
    """Book the facts in a file. Run it again as often as you like: nothing is booked twice."""
    rules, mapping_sha256 = mapping_of(mapping)
    with file_at(file) as stream:
        if dry_run:
            _dry_run(stream, file, rules, as_json=as_json)
            return
        key = ImportKey(bytes.fromhex(digest_of(stream)), mapping_sha256)
        stream.seek(0)
        settings = read_settings(data=data, database_url=database_url, schema=schema)
        reached = _Reached()
        with _telling_refusals(file, reached):
            if rules.file.head or rules.file.tail:
                count_of(stream, rules, file.name)
            census = census_of(stream, rules, file.name)
            rows = opened(stream, rules, file.name)
            target = RejectFile(_rejects_path(file, rejects, rules), rows.header, rules.file)
            job = Import(file.name, mapping.name, key, rows, mapper_of(rules), target, batch, census)
            started = time.monotonic()
            with wiring.database(settings, say) as database:
                summary = run(_import(database, job, file.stat().st_size, reached))
    answer = Done(
        file.name,
        mapping.name,
        rules.source,
        summary,
        str(target.path) if target.codes else None,
        round(time.monotonic() - started, 3),
    )
    _answer(answer, as_json=as_json)


async def _import(database: Database, job: Import, size: int, reached: _Reached) -> ImportSummary:
    await wiring.prepare(database)
    with progress.showing(job.file, size) as show:

        def tell(told: Progress) -> None:
            reached.rows = told.rows
            show(told.rows, told.position)

        try:
            async with wiring.hub(database) as hub:
                return await bring(hub, job, say=say, progress=tell)
        finally:
            job.rejects.close()


def _answer(done: Done, *, as_json: bool) -> None:
    if as_json:
        answer_json(done)
    else:
        for words in in_words(done.file, done.connection, done.summary, done.seconds):
            out.print(words, markup=False)
    if done.rejects is not None:
        say(f"The rejected rows stand in {done.rejects}.")
    if done.rejects is not None or done.summary.held:
        raise typer.Exit(Exit.PARTLY)


def _dry_run(stream: BinaryIO, file: Path, rules: Mapping, *, as_json: bool) -> None:
    with _telling_refusals(file, _Reached()):
        found = dry_run(opened(stream, rules, file.name), mapper_of(rules))
    if as_json:
        answer_json(
            {
                "events": [msgspec.Raw(entry.body) for entry in found.events],
                "problems": [
                    {"row": row.number, "code": problem.code, "detail": problem.detail}
                    for row, problem in found.problems
                ],
                "summary": found.summary,
            }
        )
    else:
        for words in dry_run_in_words(file.name, rules.source, found):
            out.print(words, markup=False)
    if found.summary.rejected:
        raise typer.Exit(Exit.PARTLY)


def mapping_of(path: Path) -> tuple[Mapping, bytes]:
    """The mapping, and the digest of its file."""
    try:
        content = path.read_bytes()
        rules = read_mapping(tomllib.loads(content.decode()), path.name)
    except OSError as error:
        fail(f"The mapping {path} cannot be read: {error.strerror}. Nothing was booked.", Exit.USAGE)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        fail(f"The mapping {path} is no TOML: {error}. Nothing was booked.", Exit.USAGE)
    except Refusal as refusal:
        fail(f"{refusal.problem.detail} Nothing was booked.", Exit.USAGE)
    if not rules.source:
        fail(f'{path}: say connection = "…", whose facts these are. Nothing was booked.', Exit.USAGE)
    return rules, hashlib.sha256(content).digest()


@contextmanager
def file_at(path: Path) -> Iterator[BinaryIO]:
    try:
        stream = path.open("rb")
    except OSError as error:
        fail(f"The file {path} cannot be read: {error.strerror}. Nothing was booked.", Exit.USAGE)
    with stream:
        yield stream


def _rejects_path(file: Path, asked: Path | None, rules: Mapping) -> Path:
    """Next to the file, or here where that folder cannot be written."""
    name = file.name + ".rejects.csv"
    folder = file.parent if os.access(file.parent, os.W_OK) else Path()
    path = asked or folder / name
    if path.exists() and not is_reject_file(path, rules.file):
        fail(f"{path} is there and no reject file of ours. Name another with --rejects.", Exit.USAGE)
    if not os.access(path.parent, os.W_OK):
        fail(f"{path.parent} cannot be written. Name a place with --rejects.", Exit.USAGE)
    return path


@contextmanager
def _telling_refusals(file: Path, reached: _Reached) -> Iterator[None]:
    """What stops the run, in words: what it was, what is safe, and how to go on."""
    try:
        yield
    except Refusal as refusal:
        problem = refusal.problem
        if problem.meaning.retryable:
            fail(f"{problem.detail} {_go_on(file, reached)}", Exit.UNAVAILABLE)
        words = f"{problem.detail} {problem.meaning.action}"
        if reached.rows:
            fail(f"{words} {_go_on(file, reached)}", Exit.PARTLY)
        fail(f"{words} Nothing was booked.", Exit.USAGE)
    except faults.ANY as error:
        fail(f"The database does not answer ({error}). {_go_on(file, reached)}", Exit.UNAVAILABLE)
    except KeyboardInterrupt:
        fail(f"Interrupted. {_go_on(file, reached)}", Exit.INTERRUPTED)


def _go_on(file: Path, reached: _Reached) -> str:
    return f"Nothing is lost: run the same command again, it goes on from row {reached.rows + 1:,} of {file.name}."
