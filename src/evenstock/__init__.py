"""Evenstock: the stock hub of a retail estate."""

__version__ = "0.1.0"
