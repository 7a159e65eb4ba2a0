"""DOOR for operators: data to stdout, talk to stderr, `--json` for machines, exit codes that scripts can use."""

import sys


def main() -> None:
    """Run a command. Those of the store agent are run by themselves: a shop's small machine loads nothing of the hub."""
    if sys.argv[1:2] == ["edge"]:
        from evenstock.cli import edge  # noqa: PLC0415 - that is the point

        edge.main()
    else:
        from evenstock.cli import app  # noqa: PLC0415 - as above

        app.main()


__all__ = ["main"]
