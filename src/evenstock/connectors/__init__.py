"""Translators: one folder for each vendor or protocol. They never know each other, nor the database."""
