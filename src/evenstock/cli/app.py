"""The commands put together."""

import typer

from evenstock import __version__
from evenstock.address import AddressTaken
from evenstock.cli import (
    bench,
    config,
    connector,
    demo,
    edge,
    exceptions,
    fence,
    importing,
    keys,
    loadtest,
    replay,
    running,
    sandbox,
    secret,
    simulate,
    slo,
    trace,
    truth,
)
from evenstock.cli.talk import Exit, fail
from evenstock.estate.program import NotStarted
from evenstock.postgres.errors import DatabaseUnfit
from evenstock.settings import SettingsWrong

app = typer.Typer(
    name="evenstock",
    help="The stock hub of a retail estate: one exact ledger, and what each channel may sell.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(demo.app, name="demo")
running.register(app)
importing.register(app)
config.register(app)
truth.register(app)
fence.register(app)
trace.register(app)
bench.register(app)
loadtest.register(app)
sandbox.register(app)
simulate.register(app)
slo.register(app)
app.add_typer(exceptions.app, name="exceptions")
app.add_typer(replay.app, name="replay")
app.add_typer(keys.app, name="keys")
app.add_typer(edge.app, name="edge")
app.add_typer(connector.app, name="connector")
app.add_typer(secret.app, name="secrets")


@app.command()
def version() -> None:
    """The version of this program."""
    typer.echo(__version__)


def main() -> None:
    """Run a command; what a user can mend is told in a sentence, never as a traceback."""
    try:
        app()
    except SettingsWrong as error:
        fail(str(error), Exit.USAGE)
    except AddressTaken as error:
        fail(str(error), Exit.CONFLICT)
    except (DatabaseUnfit, NotStarted) as error:
        fail(str(error), Exit.UNAVAILABLE)
