"""import: a retailer's files, through a mapping, into the ledger."""

import typer


def register(app: typer.Typer) -> None:
    """Added with the command itself."""
