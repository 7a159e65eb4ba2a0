"""DOOR for operators: data to stdout, talk to stderr, `--json` for machines, exit codes that scripts can use."""

from evenstock.cli.app import main

__all__ = ["main"]
