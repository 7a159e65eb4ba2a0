"""RULES. Pure functions over frozen records: no clock, no I/O, no log, no database."""
