"""connector list, new, test: which there are, and how one is made."""

import json
from pathlib import Path
from typing import Annotated

import typer

from evenstock.cli.talk import Exit, Json, answer_json, fail, out, say
from evenstock.connectors.contract import Untranslatable
from evenstock.connectors.found import found
from evenstock.connectors.skeleton import files_of
from evenstock.connectors.testing import NAME, Fixture, cases, fixtures, folders, text_of, translated

app = typer.Typer(help="Connectors: code for one vendor or protocol.", no_args_is_help=True)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """The connectors there are: those that come along, and those of packages that are installed."""
    rows = [
        {
            "name": connector.name,
            "summary": connector.summary,
            "reads": connector.translate is not None,
            "hooks": connector.hook is not None,
            "publishes": connector.publish is not None,
            "posts": connector.post is not None,
            "listens": connector.listen is not None,
            "polls": connector.poll is not None,
            "files": connector.delivery is not None,
        }
        for connector in sorted(found().values(), key=lambda connector: connector.name)
    ]
    if as_json:
        answer_json({"connectors": rows})
        return
    for row in rows:
        can = ", ".join(
            word
            for word in ("reads", "hooks", "publishes", "posts", "listens", "polls", "files")
            if row[word]
        )
        out.print(f"{row['name']:<16} {can:<24} {row['summary']}", markup=False)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="In lower_case_words, as the vendor is called.")],
    to: Annotated[Path, typer.Option(help="Where it goes; a folder, made if absent.")] = Path(),
) -> None:
    """Make a connector that passes the kit, to be changed from there."""
    if not NAME.fullmatch(name):
        fail(f"The name {name!r} is not lower_case_words of 2 to 40 characters.", Exit.USAGE)
    if name in found():
        fail(f"There is a connector {name} already. See: evenstock connector list", Exit.CONFLICT)
    files = {to / path: text for path, text in files_of(name).items()}
    taken = [path for path in files if path.exists()]
    if taken:
        fail(f"{taken[0]} is there. Nothing was written; name another place with --to.", Exit.CONFLICT)
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        out.print(str(path), markup=False)
    say(f"Next: put a real message into {to / name / 'fixtures'}, then: evenstock connector test {to / name}")


@app.command("test")
def try_(
    connector: Annotated[str, typer.Argument(help="Its folder, or the name of one that comes along.")],
    write: Annotated[
        bool, typer.Option("--write", help="Keep what messages become where nothing is expected yet.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Try what holds for every connector: 0 when all does, 3 with what does not in words."""
    folder = _folder(connector)
    if write:
        for fixture in fixtures(folder):
            _write(folder, fixture)
    results: list[tuple[str, str | None]] = []
    for case in cases(folder):
        try:
            case()
        except Exception as error:  # noqa: BLE001 - the code of others: whatever it raises is shown
            told = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
            results.append((case.claim, told))
        else:
            results.append((case.claim, None))
    broken = any(why is not None for _, why in results)
    if as_json:
        answer_json(
            {"ok": not broken, "claims": [{"claim": claim, "why_not": why} for claim, why in results]}
        )
    else:
        for claim, why in results:
            out.print(f"✓ {claim}" if why is None else f"✕ {claim}\n  {why}", markup=False)
    if broken:
        raise typer.Exit(Exit.PROBLEMS)


def _folder(connector: str) -> Path:
    for folder in folders():
        if folder.name == connector:
            return folder
    folder = Path(connector)
    if not (folder / "__init__.py").is_file():
        fail(
            f"{connector} is no folder with an __init__.py, and no connector that comes along.",
            Exit.NOT_FOUND,
        )
    return folder.resolve()


def _write(folder: Path, fixture: Fixture) -> None:
    """Keep what a message becomes, if nothing is expected of it yet."""
    events, problem = fixture.beside(".events.json"), fixture.beside(".problem.json")
    if events.exists() or problem.exists():
        return
    try:
        path, text = events, text_of(translated(folder, fixture))
    except Untranslatable as error:
        path, text = problem, json.dumps({"code": error.code, "pointer": error.pointer}) + "\n"
    except Exception as error:  # noqa: BLE001 - the claims below say it again, one by one
        say(f"{fixture.path.name}: {error}")
        return
    path.write_text(text, encoding="utf-8")
    say(f"wrote {path}: read it, and keep it only if it is true")
