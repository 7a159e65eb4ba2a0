"""WHAT HAPPENS. Verbs: receive, apply, release, import. One transaction a step; a table between steps."""
