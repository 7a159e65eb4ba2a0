"""DOOR for operators: data to stdout, talk to stderr, `--json` for machines, exit codes that scripts can use."""

import sys
from typing import Final

INTERRUPTED: Final = 130  # as talk.Exit has it, which may not be loaded yet


def main() -> None:
    """Run a command; Ctrl-C ends it without a traceback, while its parts are still being loaded, too."""
    try:
        _run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _run() -> None:
    """Those of the store agent are run by themselves: a shop's small machine loads nothing of the hub."""
    if sys.argv[1:2] == ["edge"]:
        from evenstock.cli import edge  # noqa: PLC0415 - that is the point

        edge.main()
    else:
        from evenstock.cli import app  # noqa: PLC0415 - as above

        app.main()


__all__ = ["main"]
